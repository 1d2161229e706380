//! `#[consumer(…)]`: a consumer beside an async function, which stays as it is.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, GenericParam, ItemFn, Result, ReturnType, Type};

use crate::doc;

mod options;

pub(crate) use options::Options;

/// How many arguments a handler may have after its event.
const ARGUMENTS_MAX: usize = 8;

pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let types = argument_types(function)?;
    let (ident, vis) = (&function.sig.ident, &function.vis);
    let name = match &options.name {
        Some(name) => name.value(),
        None => ident.to_string().trim_start_matches("r#").replace('_', "-"),
    };
    let description = doc::text(&function.attrs).map(|text| quote!(.description(#text)));
    let policy = options.calls();
    let checks = checks(&types, &function.sig.output);
    let about = format!("The consumer `{name}`: the function of this name, with what its attribute says.");
    Ok(quote! {
        #[doc = #about]
        #[allow(non_camel_case_types)]
        #vis enum #ident {}

        impl #ident {
            /// The consumer, to give to an engine.
            #vis fn consumer() -> ::acceptd::Consumer {
                ::acceptd::Consumer::new(#name, #ident)
                    .place(::core::file!(), ::core::line!())
                    #description
                    #policy
            }
        }

        #checks
    })
}

/// The types of the function's arguments, the event first.
fn argument_types(function: &ItemFn) -> Result<Vec<&Type>> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span, "a consumer is an async fn"));
    }
    if let Some(parameter) = signature.generics.params.iter().find(|one| !matches!(one, GenericParam::Lifetime(_))) {
        return Err(Error::new(parameter.span(), "a consumer has no type parameters: its signature says what it is"));
    }
    let mut types = Vec::new();
    for argument in &signature.inputs {
        match argument {
            FnArg::Receiver(own) => return Err(Error::new(own.span(), "a consumer is a function, not a method")),
            FnArg::Typed(argument) => types.push(&*argument.ty),
        }
    }
    if let Some(hidden) = types.iter().find(|ty| matches!(ty, Type::ImplTrait(_))) {
        return Err(Error::new(hidden.span(), "a consumer's arguments have types that can be named"));
    }
    match types.len() {
        0 => Err(Error::new(signature.paren_token.span.join(), "a consumer takes an event: its first argument")),
        count if count > ARGUMENTS_MAX + 1 => {
            let span = types.get(ARGUMENTS_MAX + 1).map_or_else(Span::call_site, |ty| ty.span());
            Err(Error::new(span, format!("a consumer takes an event and at most {ARGUMENTS_MAX} arguments")))
        }
        _ => Ok(types),
    }
}

/// One assertion for each type of the signature, where it stands: so that a wrong one is reported there.
fn checks(types: &[&Type], output: &ReturnType) -> TokenStream {
    let checks = types.iter().enumerate().map(|(index, ty)| match index {
        0 => quote_spanned!(ty.span()=> event::<#ty>();),
        _ => quote_spanned!(ty.span()=> argument::<#ty>();),
    });
    let returned = match output {
        ReturnType::Default => quote!(outcome::<()>();),
        ReturnType::Type(_, ty) => quote_spanned!(ty.span()=> outcome::<#ty>();),
    };
    quote! {
        const _: () = {
            #[allow(dead_code)]
            fn signature() {
                fn event<E: ::acceptd::Event>() {}
                fn argument<A: ::acceptd::consumer::Argument>() {}
                fn outcome<O: ::acceptd::consumer::IntoOutcome>() {}
                #(#checks)*
                #returned
            }
        };
    }
}

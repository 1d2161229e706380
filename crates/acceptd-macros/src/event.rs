//! `#[derive(Event)]`: the constants and functions of the trait, from the type's attributes.

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned as _;
use syn::{Data, DeriveInput, Error, Field, Fields, Ident, LitInt, LitStr, Result, Token};

use crate::{doc, rename};

const USAGE: &str = "say which event type it is: #[event(\"order.placed\")], and if you like \
                     `version = 2`, `key = order_id` and `no_schema` after it";

/// What `#[event(…)]` says.
#[derive(Default)]
struct Options {
    kind: Option<LitStr>,
    version: Option<LitInt>,
    key: Option<Ident>,
    no_schema: bool,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            if input.peek(LitStr) && options.kind.is_none() {
                options.kind = Some(input.parse()?);
            } else {
                options.parse_named(input)?;
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_named(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name: Ident = input.parse().map_err(|error| Error::new(error.span(), USAGE))?;
        if name == "no_schema" {
            self.no_schema = true;
            return Ok(());
        }
        input.parse::<Token![=]>()?;
        match name.to_string().as_str() {
            "name" => self.kind = Some(input.parse()?),
            "version" => self.version = Some(input.parse()?),
            "key" => self.key = Some(input.parse()?),
            other => {
                let message = format!("unknown option `{other}`; there are name, version, key and no_schema");
                return Err(Error::new(name.span(), message));
            }
        }
        Ok(())
    }
}

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let options = read(input)?;
    let Some(kind) = &options.kind else { return Err(Error::new(input.ident.span(), USAGE)) };
    check_kind(kind)?;
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(parameter.span(), "an event type is one Rust type: it has no parameters"));
    }
    let version = version(&options)?;
    let description = match doc::text(&input.attrs) {
        Some(text) => quote!(::core::option::Option::Some(#text)),
        None => quote!(::core::option::Option::None),
    };
    let key = options.key.as_ref().map(|key| expand_key(key, input)).transpose()?;
    let ident = &input.ident;
    let schema = (!options.no_schema).then(|| {
        // At the type's name, so that a missing schema is reported there.
        let schema = quote_spanned!(ident.span()=> ::acceptd::event::schema_of::<#ident>());
        quote! {
            fn schema() -> ::core::option::Option<::acceptd::event::JsonValue> {
                ::core::option::Option::Some(#schema)
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl ::acceptd::Event for #ident {
            const TYPE: &'static str = #kind;
            const VERSION: u32 = #version;
            const DESCRIPTION: ::core::option::Option<&'static str> = #description;
            #key
            #schema
        }
    })
}

fn read(input: &DeriveInput) -> Result<Options> {
    let mut found = input.attrs.iter().filter(|attribute| attribute.path().is_ident("event"));
    let Some(attribute) = found.next() else { return Err(Error::new(input.ident.span(), USAGE)) };
    if let Some(second) = found.next() {
        return Err(Error::new(second.span(), "an event has one #[event(…)]"));
    }
    attribute.parse_args()
}

fn check_kind(kind: &LitStr) -> Result<()> {
    let text = kind.value();
    let fits = (1..=255).contains(&text.len()) && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    match fits && !text.contains('*') {
        true => Ok(()),
        false => Err(Error::new(kind.span(), "an event type has 1 to 255 characters, without spaces and `*`")),
    }
}

fn version(options: &Options) -> Result<u32> {
    let Some(written) = &options.version else { return Ok(1) };
    match written.base10_parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(Error::new(written.span(), "a version is a whole number from 1 on")),
    }
}

fn expand_key(key: &Ident, input: &DeriveInput) -> Result<TokenStream> {
    let field = field(key, input)?;
    let name = rename::serialized(field, &input.attrs)?;
    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
    let value = key.to_token_stream();
    Ok(quote! {
        const KEY: ::core::option::Option<&'static str> = ::core::option::Option::Some(#pointer);

        fn key(&self) -> ::core::option::Option<::std::string::String> {
            ::acceptd::event::key_text(&self.#value)
        }
    })
}

fn field<'a>(key: &Ident, input: &'a DeriveInput) -> Result<&'a Field> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(key.span(), "only a struct has a key: one of its fields"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(key.span(), "only a struct with named fields has a key"));
    };
    let is_it = |field: &&Field| field.ident.as_ref() == Some(key);
    fields.named.iter().find(is_it).ok_or_else(|| Error::new(key.span(), format!("there is no field `{key}`")))
}

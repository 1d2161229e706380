//! `#[derive(Event)]` and `#[consumer]`: they parse and expand, and leave everything else to `acceptd`, which exports
//! them. What they say is documented there.

use proc_macro::TokenStream;

mod consumer;
mod doc;
mod duration;
mod event;
mod rename;

/// Makes a struct or an enum the data of an event type.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    event::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Gives an async function a consumer of the same name: `start_ec2::consumer()`.
#[proc_macro_attribute]
pub fn consumer(options: TokenStream, item: TokenStream) -> TokenStream {
    // The function comes out as it went in, also when something is wrong beside it: one mistake, one error.
    let function: proc_macro2::TokenStream = item.clone().into();
    let expanded = syn::parse(options).and_then(|options| consumer::expand(&options, &syn::parse(item)?));
    let beside = expanded.unwrap_or_else(syn::Error::into_compile_error);
    quote::quote!(#function #beside).into()
}

//! What `#[consumer(…)]` may say.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, LitInt, LitStr, Path, Result, Token};

use crate::duration;

const OPTIONS: &str = "name, limit, lock, retry, timeout, concurrency, ordered, fair_by and team";

/// What `#[consumer(…)]` says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    limits: Vec<LimitName>,
    lock: Option<LitStr>,
    retry: Option<LitInt>,
    timeout: Option<LitStr>,
    concurrency: Option<LitInt>,
    ordered: bool,
    fair_by: Option<LitStr>,
    team: Option<LitStr>,
}

/// A limit: by its name, or by the Rust type that names it.
enum LimitName {
    Text(LitStr),
    Type(Path),
}

impl Parse for LimitName {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if input.peek(LitStr) { input.parse().map(Self::Text) } else { input.parse().map(Self::Type) }
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            options.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        let name: Ident = input.parse()?;
        let option = name.to_string();
        if option == "ordered" {
            self.ordered = true;
            return Ok(());
        }
        if !OPTIONS.split([',', ' ']).any(|known| known == option) {
            return Err(Error::new(name.span(), format!("unknown option `{option}`; there are {OPTIONS}")));
        }
        input.parse::<Token![=]>()?;
        match option.as_str() {
            "name" => self.name = Some(input.parse().and_then(consumer_name)?),
            "limit" => self.limits.push(input.parse()?),
            "lock" => self.lock = Some(input.parse().and_then(key)?),
            "retry" => self.retry = Some(input.parse().and_then(count)?),
            "timeout" => self.timeout = Some(input.parse().and_then(timeout)?),
            "concurrency" => self.concurrency = Some(input.parse().and_then(count)?),
            "fair_by" => self.fair_by = Some(input.parse().and_then(key)?),
            _ => self.team = Some(input.parse()?),
        }
        Ok(())
    }

    /// The calls that give a consumer all of this.
    pub(crate) fn calls(&self) -> TokenStream {
        let limits = self.limits.iter().map(|limit| match limit {
            LimitName::Text(name) => quote!(.limit(#name)),
            LimitName::Type(path) => quote!(.limit(<#path as ::acceptd::NamedLimit>::NAME)),
        });
        let lock = self.lock.as_ref().map(|key| quote!(.lock(#key)));
        let retry = self.retry.as_ref().map(|attempts| quote!(.retry(#attempts)));
        let timeout = self.timeout.as_ref().map(|timeout| quote!(.timeout(#timeout)));
        let concurrency = self.concurrency.as_ref().map(|count| quote!(.concurrency(#count)));
        let ordered = self.ordered.then(|| quote!(.ordered()));
        let fair_by = self.fair_by.as_ref().map(|key| quote!(.fair_by(#key)));
        let team = self.team.as_ref().map(|team| quote!(.team(#team)));
        quote!(#(#limits)* #lock #retry #timeout #concurrency #ordered #fair_by #team)
    }
}

fn consumer_name(name: LitStr) -> Result<LitStr> {
    let text = name.value();
    let fits = (1..=100).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    match fits {
        true => Ok(name),
        false => Err(Error::new(name.span(), "a name has 1 to 100 letters, digits, '-', '_' and '.'")),
    }
}

fn key(key: LitStr) -> Result<LitStr> {
    let text = key.value();
    match text.starts_with('/') || text == "owner" || text == "subject" {
        true => Ok(key),
        false => Err(Error::new(key.span(), "a key is \"/a/json/pointer\" into the data, \"owner\" or \"subject\"")),
    }
}

fn count(count: LitInt) -> Result<LitInt> {
    match count.base10_parse::<u32>() {
        Ok(1..) => Ok(count),
        _ => Err(Error::new(count.span(), "this is a whole number from 1 on")),
    }
}

fn timeout(timeout: LitStr) -> Result<LitStr> {
    duration::check(&timeout).map(|()| timeout)
}

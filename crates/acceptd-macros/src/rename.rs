//! The name that serde writes a field by.

use syn::{Attribute, Field, LitStr};

/// The field's name in JSON: by its own `rename`, or the type's `rename_all`.
pub(crate) fn serialized(field: &Field, container: &[Attribute]) -> syn::Result<String> {
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let name = name.strip_prefix("r#").unwrap_or(&name);
    if let Some(renamed) = said(&field.attrs, "rename")? {
        return Ok(renamed);
    }
    Ok(match said(container, "rename_all")? {
        Some(rule) => by_rule(name, &rule),
        None => name.to_owned(),
    })
}

/// What `#[serde(option = "…")]` or `#[serde(option(serialize = "…"))]` says.
fn said(attributes: &[Attribute], option: &str) -> syn::Result<Option<String>> {
    let mut found = None;
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let is_it = meta.path.is_ident(option);
            if meta.input.peek(syn::token::Paren) {
                return meta.parse_nested_meta(|inner| {
                    let text = inner.value()?.parse::<LitStr>()?;
                    if is_it && inner.path.is_ident("serialize") {
                        found = Some(text.value());
                    }
                    Ok(())
                });
            }
            if meta.input.peek(syn::Token![=]) {
                let value: syn::Expr = meta.value()?.parse()?;
                if let (true, syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. })) = (is_it, value) {
                    found = Some(text.value());
                }
            }
            Ok(())
        })?;
    }
    Ok(found)
}

fn by_rule(name: &str, rule: &str) -> String {
    let pascal = || name.split('_').map(capital).collect::<String>();
    match rule {
        "UPPERCASE" | "SCREAMING_SNAKE_CASE" => name.to_uppercase(),
        "PascalCase" => pascal(),
        "camelCase" => {
            let pascal = pascal();
            let mut letters = pascal.chars();
            letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
        }
        "kebab-case" => name.replace('_', "-"),
        "SCREAMING-KEBAB-CASE" => name.to_uppercase().replace('_', "-"),
        // Fields are snake_case already: lowercase and snake_case change nothing.
        _ => name.to_owned(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name_of(input: &str) -> String {
        let item: syn::ItemStruct = syn::parse_str(input).unwrap();
        serialized(item.fields.iter().next().unwrap(), &item.attrs).unwrap()
    }

    #[test]
    fn names_are_those_of_serde() {
        assert_eq!(name_of("struct A { order_id: u8 }"), "order_id");
        assert_eq!(name_of(r#"#[serde(rename_all = "camelCase")] struct A { order_id: u8 }"#), "orderId");
        assert_eq!(name_of(r#"#[serde(rename_all = "kebab-case")] struct A { order_id: u8 }"#), "order-id");
        assert_eq!(name_of(r#"struct A { #[serde(default, rename = "id")] order_id: u8 }"#), "id");
        let split = r#"struct A { #[serde(rename(serialize = "out", deserialize = "in"))] order_id: u8 }"#;
        assert_eq!(name_of(split), "out");
        let both = r#"#[serde(deny_unknown_fields, rename_all = "PascalCase")] struct A { r#type: u8 }"#;
        assert_eq!(name_of(both), "Type");
    }
}

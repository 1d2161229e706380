//! A JSON Schema that data is checked against. Nothing outside of the document is ever read.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::catalog::compat::endless;
use crate::{Data, Error, ErrorKind, Place, Result};

/// Wrong places that are told of one event.
const PLACES_MAX: usize = 100;
/// The longest sentence about a place, in characters.
const SENTENCE_MAX: usize = 200;
/// How many alternatives, or levels of them, are followed to say what is wrong.
const DEPTH_MAX: usize = 8;

/// A compiled schema, 2020-12 where its `$schema` says nothing else. Formats are checked, too.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
}

impl Schema {
    /// Compiles a document.
    ///
    /// # Errors
    /// `InvalidArgument`: what is wrong and at which JSON Pointer; also a `$ref` that leads out of the document.
    pub fn compile(document: &Value) -> Result<Self> {
        if !document.is_object() && !document.is_boolean() {
            return Err(Error::invalid("a JSON Schema is an object, true or false"));
        }
        if let Some(place) = endless(document) {
            return Err(Error::invalid(format!("at #{place} the schema refers to itself without an end")));
        }
        let options = jsonschema::options().offline().should_validate_formats(true);
        options.build(document).map(|validator| Self { validator }).map_err(|error| wrong_schema(&error))
    }

    /// Checks an event's data; no data is `null`.
    ///
    /// # Errors
    /// `InvalidData` with at most 100 places, each with a JSON Pointer into the data. No sentence repeats the data.
    pub fn check(&self, data: Option<&Data>) -> Result<()> {
        let value = match data {
            None => Value::Null,
            Some(data) if !data.is_json() => {
                let message = format!("the data must be JSON by the schema of its type, not {}", data.content_type);
                return Err(Error::new(ErrorKind::InvalidData, cut(message)).at(""));
            }
            Some(data) => serde_json::from_slice(&data.bytes)
                .map_err(|error| Error::new(ErrorKind::InvalidData, format!("the data is not JSON: {error}")).at(""))?,
        };
        if self.validator.is_valid(&value) {
            return Ok(());
        }
        let mut places = Vec::new();
        for error in self.validator.iter_errors(&value) {
            tell(&error, &mut places, DEPTH_MAX);
            if places.len() >= PLACES_MAX {
                break;
            }
        }
        places.truncate(PLACES_MAX);
        Err(wrong_data(places))
    }
}

fn wrong_data(places: Vec<Place>) -> Error {
    let first = places.first().map_or_else(String::new, |place| match place.pointer.as_str() {
        "" => place.message.clone(),
        pointer => format!("{pointer}: {}", place.message),
    });
    let message = match places.len() {
        0 => "the data does not fit its schema".to_owned(),
        1 => format!("the data does not fit its schema: {first}"),
        several => format!("the data does not fit its schema at {several} places; the first is {first}"),
    };
    Error::new(ErrorKind::InvalidData, message).with_places(places)
}

/// Says what is wrong, at the place where a person would correct it.
fn tell(error: &ValidationError<'_>, places: &mut Vec<Place>, depth: usize) {
    if let Kind::AnyOf { context } | Kind::OneOfNotValid { context } = error.kind()
        && depth > 0
        && let Some(errors) = meant(context)
    {
        errors.iter().for_each(|error| tell(error, places, depth - 1));
        return;
    }
    let place = Place { event: 0, pointer: error.instance_path().to_string(), message: cut(sentence(error)) };
    // Branches that ask for the same have the same to say.
    if !places.contains(&place) {
        places.push(place);
    }
}

/// The one alternative that the data was meant to be: all others fail by a type or a constant.
fn meant<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Option<&'a [ValidationError<'static>]> {
    let is_other = |error: &ValidationError<'_>| matches!(error.kind(), Kind::Constant { .. } | Kind::Type { .. });
    let mut near = context.iter().filter(|errors| !errors.iter().any(is_other));
    match (near.next(), near.next()) {
        (Some(errors), None) => Some(errors),
        _ => None,
    }
}

fn sentence(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("{property} is missing"),
        Kind::Type { kind: TypeKind::Single(one) } => format!("this must be of type {one}"),
        Kind::Type { kind: TypeKind::Multiple(several) } => {
            let names: Vec<_> = several.iter().map(|one| one.to_string()).collect();
            format!("this must be of type {}", names.join(" or "))
        }
        Kind::Constant { expected_value } => format!("this must be {expected_value}"),
        Kind::Enum { options } => {
            let options: Vec<_> = options.as_array().into_iter().flatten().map(ToString::to_string).collect();
            format!("this must be one of {}", options.join(", "))
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<_> = unexpected.iter().map(|name| format!("{name:?}")).collect();
            format!("{} is not a property that is known here", names.join(", "))
        }
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => "this fits none of the alternatives".to_owned(),
        Kind::OneOfMultipleValid { .. } => "this fits several alternatives, and just one is allowed".to_owned(),
        Kind::Not { .. } => "this is what the schema rules out".to_owned(),
        Kind::FalseSchema => "nothing may stand here".to_owned(),
        Kind::Pattern { pattern } => format!("this does not match the pattern {pattern}"),
        Kind::Format { format } => format!("this is not of the format {format}"),
        Kind::PropertyNames { error } => format!("a property's name does not fit: {}", sentence(error)),
        _ => error.masked_with("this value").to_string(),
    }
}

fn cut(mut sentence: String) -> String {
    if let Some((end, _)) = sentence.char_indices().nth(SENTENCE_MAX) {
        sentence.truncate(end);
        sentence.push('…');
    }
    sentence.replace(char::is_control, " ")
}

fn wrong_schema(error: &ValidationError<'_>) -> Error {
    if let Kind::Referencing(reference) = error.kind() {
        return Error::invalid(format!(
            "a $ref must stay in the document and name something that is there (`#/$defs/…`): {}",
            cut(reference.to_string())
        ));
    }
    // What is checked here is the schema itself, and it is the operator's: it may be shown.
    let what = cut(error.to_string());
    match error.instance_path().as_str() {
        "" => Error::invalid(format!("this is no JSON Schema: {what}")),
        place => Error::invalid(format!("this is no JSON Schema: at {place}: {what}")),
    }
}

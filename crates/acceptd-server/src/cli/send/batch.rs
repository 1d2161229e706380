//! The items of a batch: a JSON array, or JSON lines.

use serde::Serialize;
use serde_json::value::RawValue;

/// The body of a batch. Items are sent as they were written.
#[derive(Serialize)]
struct Body<'a> {
    items: Vec<&'a RawValue>,
}

/// The body of a batch of these items, and how many they are.
pub(super) fn body(text: &[u8]) -> Result<(Vec<u8>, usize), String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not UTF-8".to_owned())?;
    let items = read(text)?;
    let count = items.len();
    if count == 0 {
        return Err("there is no item in it".to_owned());
    }
    Ok((serde_json::to_vec(&Body { items }).map_err(|error| error.to_string())?, count))
}

fn read(text: &str) -> Result<Vec<&RawValue>, String> {
    let not_an_array = match serde_json::from_str(text) {
        Ok(items) => return Ok(items),
        Err(error) => error,
    };
    let mut items = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match serde_json::from_str(line) {
            Ok(item) => items.push(item),
            // An array that is written over several lines has no item on its first.
            Err(_) if items.is_empty() && line.trim_start().starts_with('[') => {
                return Err(format!("it is not a JSON array: {not_an_array}"));
            }
            Err(error) => return Err(format!("line {} is not JSON (column {})", number + 1, error.column())),
        }
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Result<(String, usize), String> {
        body(text.as_bytes()).map(|(body, count)| (String::from_utf8(body).unwrap(), count))
    }

    #[test]
    fn an_array_and_lines_are_the_same() {
        let same = (r#"{"items":[{"a":1.50},"b",[3]]}"#.to_owned(), 3);
        assert_eq!(sent(r#" [{"a":1.50}, "b", [3]] "#), Ok(same.clone()));
        assert_eq!(sent("{\"a\":1.50}\n\n\"b\"\r\n[3]\n"), Ok(same));
        assert_eq!(sent("[1]\n[2]\n").map(|(_, count)| count), Ok(2), "lines may be arrays");
    }

    #[test]
    fn mistakes_are_found_in_their_line() {
        assert_eq!(sent("{}\n{\"a\":\n{}"), Err("line 2 is not JSON (column 5)".to_owned()));
        assert_eq!(sent("[\n1,\n]"), Err("it is not a JSON array: trailing comma at line 3 column 1".to_owned()));
        for nothing in ["", " \n", "[]"] {
            assert_eq!(sent(nothing), Err("there is no item in it".to_owned()), "{nothing:?}");
        }
        assert!(body(b"\"\xff\"").is_err());
    }
}

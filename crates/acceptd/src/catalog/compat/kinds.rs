//! The kinds of JSON values as a set; the whole numbers are some of the numbers.

use std::fmt;

use serde_json::Value;

/// A set of kinds of values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const NUMBER: Self = Self(4 | 8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ALL: Self = Self(127);

    /// Each kind by its word; `number` before `integer`, which is part of it.
    const WORDS: [(&'static str, Self); 7] = [
        ("string", Self::STRING),
        ("number", Self::NUMBER),
        ("integer", Self::INTEGER),
        ("boolean", Self::BOOLEAN),
        ("object", Self::OBJECT),
        ("array", Self::ARRAY),
        ("null", Self::NULL),
    ];

    /// What the value of `type` allows; None when it is no such value.
    pub(super) fn of_keyword(value: &Value) -> Option<Self> {
        let word = |value: &Value| {
            let word = value.as_str()?;
            Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, kinds)| *kinds)
        };
        match value {
            Value::Array(words) => words.iter().try_fold(Self::NONE, |all, value| Some(all.with(word(value)?))),
            value => word(value),
        }
    }

    /// The kind of one value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) => match number.as_f64() {
                Some(float) if float.fract() != 0.0 => Self(8),
                _ => Self::INTEGER,
            },
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether some value is of both.
    pub(super) fn meets(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// Whether all of these are among those.
    pub(super) fn within(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// The kinds one by one; numbers stay together.
    pub(super) fn each(self) -> Vec<Self> {
        let singles = Self::WORDS.iter().filter(|(word, _)| *word != "integer");
        singles.map(|(_, kinds)| self.and(*kinds)).filter(|kinds| !kinds.is_empty()).collect()
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("any");
        }
        let mut rest = *self;
        let mut words = Vec::new();
        for (word, kinds) in Self::WORDS {
            if kinds.within(rest) {
                words.push(word);
                rest = rest.without(kinds);
            }
        }
        if !rest.is_empty() {
            words.push("number");
        }
        f.write_str(&words.join(" or "))
    }
}

impl fmt::Debug for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

//! Colors and signs, where the terminal shows them.

use std::io::IsTerminal as _;

/// What a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    color: bool,
    unicode: bool,
}

/// How something stands, for its color and sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It ended well.
    Good,
    /// It goes on.
    Busy,
    /// It waits.
    Waiting,
    /// It failed.
    Bad,
    /// It was canceled, or it does not matter now.
    Dim,
}

impl Paint {
    /// For standard error, when `stderr`, or else for standard output.
    pub(crate) fn of(stderr: bool) -> Self {
        let terminal = if stderr { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { color: terminal && !dumb && !set("NO_COLOR"), unicode: is_utf8() }
    }

    /// A sign for a mood.
    pub(crate) fn sign(self, mood: Mood) -> String {
        let (unicode, ascii) = match mood {
            Mood::Good => ("✓", "v"),
            Mood::Busy => ("▶", ">"),
            Mood::Waiting => ("·", "."),
            Mood::Bad => ("✗", "x"),
            Mood::Dim => ("-", "-"),
        };
        self.color(mood, if self.unicode { unicode } else { ascii })
    }

    /// Text in the color of a mood.
    pub(crate) fn color(self, mood: Mood, text: &str) -> String {
        let code = match mood {
            Mood::Good => "32",
            Mood::Busy => "36",
            Mood::Waiting => "33",
            Mood::Bad => "31",
            Mood::Dim => "2",
        };
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// The lines of a tree: before a branch, before the last one, and below each of them.
    pub(crate) fn branches(self) -> [&'static str; 4] {
        if self.unicode { ["├─ ", "└─ ", "│  ", "   "] } else { ["|- ", "`- ", "|  ", "   "] }
    }

    /// The characters of a progress bar.
    pub(crate) fn bar(self) -> &'static str {
        if self.unicode { "█▓░" } else { "#>." }
    }
}

fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

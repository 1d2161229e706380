//! Colors and signs, where the terminal shows them.

use std::io::IsTerminal as _;

use acceptd::delivery::State;
use acceptd::story::{Line, Rail};

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

impl Mood {
    fn of(state: State) -> Self {
        match state {
            State::Done => Self::Good,
            State::Running => Self::Busy,
            State::Waiting => Self::Waiting,
            State::Dead => Self::Bad,
            State::Canceled => Self::Dim,
        }
    }
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

    /// A line of a story, with its signs and colors.
    pub(crate) fn line(self, line: &Line) -> String {
        let rail = |rail: &Rail| match (rail, self.unicode) {
            (Rail::Branch, true) => "├─ ",
            (Rail::Branch, false) => "|- ",
            (Rail::Last, true) => "└─ ",
            (Rail::Last, false) => "`- ",
            (Rail::Through, true) => "│  ",
            (Rail::Through, false) => "|  ",
            (Rail::Blank, _) => "   ",
        };
        let mood = line.mark.map(Mood::of);
        let says = match (line.says.as_str(), mood) {
            ("", _) => String::new(),
            // What failed is seen; everything else that is said of a name is quieter than the name.
            (says, Some(Mood::Bad)) if line.name.is_empty() => self.color(Mood::Bad, says),
            (says, _) => self.color(Mood::Dim, says),
        };
        let words = [mood.map(|mood| self.sign(mood)).unwrap_or_default(), line.name.clone(), says];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        line.rails.iter().map(rail).chain([words.join(" ").as_str()]).collect()
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

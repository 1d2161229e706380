//! `acceptd completions`: a script for the shell.

use std::io::Write as _;

use clap_complete::Shell;

use crate::exit::{Exit, Result};

/// Which shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self, command: &mut clap::Command) -> Result {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "acceptd", &mut script);
        std::io::stdout().write_all(&script)?;
        Ok(Exit::Ok)
    }
}

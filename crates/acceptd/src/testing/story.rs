//! The story of an operation as text, without anything that differs from run to run.

use crate::OperationId;
use crate::story::{TextOptions, text};
use crate::testing::read::at_once;
use crate::testing::stage::Stage;

impl Stage {
    /// What happened to an operation.
    pub(super) fn story(&self, id: OperationId) -> String {
        match at_once(self.engine().story(id)) {
            Ok(story) => text(&story, &TextOptions::default()),
            Err(error) => panic!("{error}"),
        }
    }
}

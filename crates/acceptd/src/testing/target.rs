//! What stands between the engine and each consumer's target in a test: the script, and the node's life.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::{Context, States};
use crate::target::{Reply, Replying, Target, TargetDescription};
use crate::testing::CrashAt;
use crate::testing::node::Node;
use crate::testing::script::Script;
use crate::{Fail, Result, Weight};

/// A target as the test lets it be.
pub(super) struct Scripted {
    pub(super) consumer: String,
    pub(super) target: Arc<dyn Target>,
    pub(super) node: Arc<Node>,
    pub(super) script: Arc<Script>,
}

impl Scripted {
    async fn run(&self, context: Context) -> Reply {
        self.node.pass(&self.consumer, |at| *at == CrashAt::Start).await;
        // A node that dies takes its attempts along.
        let reply = tokio::select! {
            biased;
            () = self.node.dead() => None,
            reply = self.reply(context) => Some(reply),
        };
        let Some(reply) = reply else { return pending().await };
        self.node.pass(&self.consumer, |at| *at == CrashAt::End).await;
        reply
    }

    async fn reply(&self, context: Context) -> Reply {
        if let Some(play) = self.script.take(&self.consumer) {
            return Reply::Ended(Err(play.fail(&context)));
        }
        match self.script.stubbed(&self.consumer) {
            Some(stub) => {
                context.depart(Duration::ZERO);
                stub.deliver(context).await
            }
            None if self.target.is_remote() => Reply::Ended(Err(self.unreachable())),
            None => self.target.deliver(context).await,
        }
    }

    /// Tests use no network.
    fn unreachable(&self) -> Fail {
        let (consumer, TargetDescription { kind, address }) = (&self.consumer, self.target.describe());
        let message = format!(
            "a test calls nobody, and the target of {consumer} is {kind} at {address}: \
             stand in for it with t.stub({consumer:?}, ..)"
        );
        Fail::terminal("no-stub", message)
    }
}

impl Target for Scripted {
    fn deliver(&self, context: Context) -> Replying<'_> {
        Box::pin(self.run(context))
    }

    fn describe(&self) -> TargetDescription {
        self.target.describe()
    }

    fn is_remote(&self) -> bool {
        self.target.is_remote()
    }

    fn weight(&self) -> Weight {
        self.target.weight()
    }

    fn check(&self, states: &States) -> Result<()> {
        self.target.check(states)
    }
}

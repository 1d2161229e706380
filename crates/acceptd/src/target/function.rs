//! A target that is an async Rust function in this process.

use std::marker::PhantomData;

use crate::consumer::{Context, Handler, States};
use crate::target::{Reply, Replying, Target, TargetDescription};
use crate::{Fail, Result};

/// Runs a handler with its arguments taken from the attempt.
pub struct Function<H, Args> {
    handler: H,
    arguments: PhantomData<fn() -> Args>,
}

impl<H: Handler<Args>, Args: 'static> Function<H, Args> {
    /// A target that calls this handler.
    pub fn new(handler: H) -> Self {
        Self { handler, arguments: PhantomData }
    }
}

impl<H: Handler<Args>, Args: 'static> Target for Function<H, Args> {
    fn deliver(&self, context: Context) -> Replying<'_> {
        let handler = self.handler.clone();
        Box::pin(async move {
            let event = match context.payload() {
                Ok(event) => event,
                Err(error) => return Reply::Ended(Err(Fail::terminal("bad-data", error))),
            };
            let outcome = handler.call(event, &context).await;
            Reply::Ended(outcome.and_then(|done| context.complete(done)))
        })
    }

    fn describe(&self) -> TargetDescription {
        TargetDescription { kind: "function", address: std::any::type_name::<H>().to_owned() }
    }

    fn check(&self, states: &States) -> Result<()> {
        H::describe().check(states)
    }
}

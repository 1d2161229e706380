//! Async functions as handlers: the event first, then up to eight arguments.

use std::future::Future;

use crate::consumer::{Argument, Context, Description};
use crate::{Done, Event, Fail, Outcome};

/// An async function that takes an event and arguments and returns an [`Outcome`].
#[diagnostic::on_unimplemented(
    message = "this function can't be a consumer",
    note = "a consumer is an async fn that takes an event (`impl Event`), then arguments (`Emits<(..)>`, `State<T>`, \
            `Progress`, `Steps`, `Notify`, `Permits<L>`, `Limits`, `Context`), and returns `Outcome`"
)]
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// The event it takes.
    type Event: Event;

    /// What its signature says.
    fn describe() -> Description;

    /// Runs it for one attempt.
    fn call(self, event: Self::Event, context: &Context) -> impl Future<Output = Outcome> + Send;
}

/// What a handler may return: an [`Outcome`], or `Result<(), Fail>`.
#[diagnostic::on_unimplemented(
    message = "a consumer can't return `{Self}`",
    label = "not an outcome",
    note = "a consumer returns `Outcome`, or `Result<(), Fail>`"
)]
pub trait IntoOutcome {
    /// The outcome.
    ///
    /// # Errors
    /// The handler's own failure.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl IntoOutcome for Result<(), Fail> {
    fn into_outcome(self) -> Outcome {
        self.map(|()| Done::default())
    }
}

macro_rules! handlers {
    ($( ( $( $argument:ident ),* ) )*) => { $(
        impl<Function, Returning, Output, E, $($argument),*> Handler<(E, $($argument,)*)> for Function
        where
            Function: Fn(E, $($argument),*) -> Returning + Clone + Send + Sync + 'static,
            Returning: Future<Output = Output> + Send,
            Output: IntoOutcome,
            E: Event,
            $( $argument: Argument, )*
        {
            type Event = E;

            fn describe() -> Description {
                #[allow(unused_mut, reason = "a handler without arguments describes nothing")]
                let mut description = Description::default();
                $( $argument::describe(&mut description); )*
                description
            }

            #[allow(unused_variables, reason = "a handler without arguments needs no context")]
            fn call(self, event: E, context: &Context) -> impl Future<Output = Outcome> + Send {
                let context = context.clone();
                async move {
                    self(event, $( $argument::from_context(&context)? ),*).await.into_outcome()
                }
            }
        }
    )* };
}

handlers! {
    ()
    (A1)
    (A1, A2)
    (A1, A2, A3)
    (A1, A2, A3, A4)
    (A1, A2, A3, A4, A5)
    (A1, A2, A3, A4, A5, A6)
    (A1, A2, A3, A4, A5, A6, A7)
    (A1, A2, A3, A4, A5, A6, A7, A8)
}

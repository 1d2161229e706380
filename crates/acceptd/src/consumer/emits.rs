//! Declared edges: a handler can emit only what its signature lists.

use std::marker::PhantomData;

use crate::catalog::EventDeclaration;
use crate::consumer::{Argument, Context, Description};
use crate::{Draft, Event, Fail, Result};

/// The events that a handler may emit, as a tuple: `Emits<(Ec2Started, CreateAlarm)>`.
///
/// Emitted events are stored in the same transaction as the end of the delivery, or not at all.
///
/// ```compile_fail
/// # use acceptd::{consumer::Emits, Event};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct A;
/// # impl Event for A { const TYPE: &'static str = "a"; }
/// # #[derive(serde::Serialize, serde::Deserialize)] struct B;
/// # impl Event for B { const TYPE: &'static str = "b"; }
/// fn handler(mut out: Emits<(A,)>) {
///     out.emit(B); // this consumer does not declare that it emits `B`
/// }
/// ```
pub struct Emits<Set> {
    context: Context,
    set: PhantomData<fn() -> Set>,
}

impl<Set> Emits<Set> {
    /// Emits an event when the attempt ends well. One that can't be written as JSON makes it a dead letter.
    pub fn emit<E: Event, Place>(&mut self, event: E)
    where
        Set: Declares<E, Place>,
    {
        self.context.emitted().push(Draft::of(&event));
    }
}

impl<Set: EventSet> Argument for Emits<Set> {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self { context: context.clone(), set: PhantomData })
    }

    fn describe(description: &mut Description) {
        description.emits.extend(Set::declarations());
    }
}

/// A tuple of events that has `E` in it; `Place` is inferred.
#[diagnostic::on_unimplemented(
    message = "this consumer does not declare that it emits `{E}`",
    label = "not declared",
    note = "add `{E}` to the events of its `Emits<(..)>` argument"
)]
pub trait Declares<E, Place> {}

/// A tuple of up to 8 events.
pub trait EventSet: 'static {
    /// Their types, with what their Rust types say of them.
    fn declarations() -> Vec<(&'static str, EventDeclaration)>;
}

/// A position in a tuple.
pub struct Place<const N: usize>;

macro_rules! event_sets {
    ($( ( $( $name:ident $place:literal ),* ) )*) => { $(
        impl<$($name: Event),*> EventSet for ($($name,)*) {
            fn declarations() -> Vec<(&'static str, EventDeclaration)> {
                vec![$(($name::TYPE, EventDeclaration::of::<$name>())),*]
            }
        }
    )* };
}

event_sets! {
    ()
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}

macro_rules! declares {
    ($( ($($all:ident),*) $one:ident $place:literal )*) => { $(
        #[diagnostic::do_not_recommend]
        impl<$($all),*> Declares<$one, Place<$place>> for ($($all,)*) {}
    )* };
}

/// Nothing that anybody can emit. With at most one event in a tuple the compiler would not wait to learn which one is
/// emitted, and its message could not name it; further candidates keep it from that.
pub enum Nothing {}

/// The same: two candidates are needed where there is no event at all.
pub enum Never {}

#[diagnostic::do_not_recommend]
impl Declares<Nothing, Place<8>> for () {}

#[diagnostic::do_not_recommend]
impl Declares<Never, Place<9>> for () {}

#[diagnostic::do_not_recommend]
impl<A> Declares<Nothing, Place<8>> for (A,) {}

declares! {
    (A) A 0
    (A, B) A 0
    (A, B) B 1
    (A, B, C) A 0
    (A, B, C) B 1
    (A, B, C) C 2
    (A, B, C, D) A 0
    (A, B, C, D) B 1
    (A, B, C, D) C 2
    (A, B, C, D) D 3
    (A, B, C, D, E) A 0
    (A, B, C, D, E) B 1
    (A, B, C, D, E) C 2
    (A, B, C, D, E) D 3
    (A, B, C, D, E) E 4
    (A, B, C, D, E, F) A 0
    (A, B, C, D, E, F) B 1
    (A, B, C, D, E, F) C 2
    (A, B, C, D, E, F) D 3
    (A, B, C, D, E, F) E 4
    (A, B, C, D, E, F) F 5
    (A, B, C, D, E, F, G) A 0
    (A, B, C, D, E, F, G) B 1
    (A, B, C, D, E, F, G) C 2
    (A, B, C, D, E, F, G) D 3
    (A, B, C, D, E, F, G) E 4
    (A, B, C, D, E, F, G) F 5
    (A, B, C, D, E, F, G) G 6
    (A, B, C, D, E, F, G, H) A 0
    (A, B, C, D, E, F, G, H) B 1
    (A, B, C, D, E, F, G, H) C 2
    (A, B, C, D, E, F, G, H) D 3
    (A, B, C, D, E, F, G, H) E 4
    (A, B, C, D, E, F, G, H) F 5
    (A, B, C, D, E, F, G, H) G 6
    (A, B, C, D, E, F, G, H) H 7
}

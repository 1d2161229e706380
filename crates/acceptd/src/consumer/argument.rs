//! What a handler may take after the event, and how an argument describes itself.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use crate::catalog::EventDeclaration;
use crate::consumer::Context;
use crate::{Error, Fail, Result};

/// Something a handler can take as an argument after the event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an argument of a consumer",
    note = "after the event a consumer takes `Emits<(..)>`, `State<T>`, `Progress`, `Steps`, `Notify`, `Permits<L>`, \
            `Limits` and `Context`"
)]
pub trait Argument: Sized + Send {
    /// Takes itself from the attempt.
    ///
    /// # Errors
    /// A [`Fail`] when the attempt can't give it.
    fn from_context(context: &Context) -> Result<Self, Fail>;

    /// Says what it means for the catalog and what it needs.
    fn describe(_description: &mut Description) {}
}

impl Argument for Context {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(context.clone())
    }
}

/// What a handler's signature says: the catalog knows it without running anything.
#[derive(Debug, Default)]
pub struct Description {
    /// The event types it may emit, with what their Rust types say of them.
    pub emits: Vec<(&'static str, EventDeclaration)>,
    /// The states it needs.
    pub needs: Vec<(TypeId, &'static str)>,
    /// The limits that it takes around single calls.
    pub permits: Vec<&'static str>,
    /// Whether it tells the owner something itself.
    pub notifies: bool,
}

impl Description {
    /// Checks that every state it needs is there.
    ///
    /// # Errors
    /// `InvalidArgument` that names the missing type.
    pub fn check(&self, states: &States) -> Result<()> {
        match self.needs.iter().find(|(id, _)| !states.0.contains_key(id)) {
            Some((_, name)) => Err(Error::invalid(format!("it needs State<{name}>, but no such state was given"))),
            None => Ok(()),
        }
    }
}

/// What the application gave its handlers, by type.
#[derive(Default)]
pub struct States(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl States {
    /// Gives handlers a value; a second one of the same type replaces the first.
    pub fn insert<T: Clone + Send + Sync + 'static>(&mut self, state: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(state));
    }

    pub(crate) fn get<T: Clone + 'static>(&self) -> Option<T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref::<T>().cloned()
    }
}

/// A value that the application gave with `.state(..)`.
#[derive(Debug, Clone, Copy)]
pub struct State<T>(pub T);

impl<T: Clone + Send + Sync + 'static> Argument for State<T> {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        let state = context.running().states.get::<T>();
        state.map(State).ok_or_else(|| Fail::terminal("no-state", format!("no State<{}> was given", type_name::<T>())))
    }

    fn describe(description: &mut Description) {
        description.needs.push((TypeId::of::<T>(), type_name::<T>()));
    }
}

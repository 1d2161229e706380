//! A limit that a handler's signature names, around single calls within it.

use std::marker::PhantomData;

use crate::consumer::{Argument, Context, Description, HeldPermit, LimitHandle, Limits};
use crate::limit::Limit;
use crate::{Fail, Result};

/// A limit with a Rust name, so that signatures can ask for it.
///
/// ```
/// use acceptd::{Limit, NamedLimit};
///
/// struct Stripe;
/// impl NamedLimit for Stripe {
///     const NAME: &'static str = "stripe";
///     fn limit() -> acceptd::Result<Limit> {
///         Limit::new(Self::NAME).rate("80/s burst 20")?.key("/account")
///     }
/// }
/// let app = acceptd::Acceptd::open("memory:").limit_of::<Stripe>();
/// # drop(app);
/// ```
pub trait NamedLimit: Send + Sync + 'static {
    /// Its name.
    const NAME: &'static str;

    /// The limit itself, for [`crate::Acceptd::limit_of`].
    ///
    /// # Errors
    /// `InvalidArgument` for a rate or a key that is none.
    fn limit() -> Result<Limit>;
}

/// Permits of the limit `L`: one for each call that it shall hold, taken within an attempt.
pub struct Permits<L> {
    limit: LimitHandle,
    named: PhantomData<fn() -> L>,
}

impl<L> Clone for Permits<L> {
    fn clone(&self) -> Self {
        Self { limit: self.limit.clone(), named: PhantomData }
    }
}

impl<L: NamedLimit> Permits<L> {
    /// Waits until the limit lets a call with this key start; `""` is the key of a limit without one. The call counts
    /// as running until what this returns is dropped.
    ///
    /// # Errors
    /// As for [`LimitHandle::acquire`].
    pub async fn acquire(&self, key: impl AsRef<str>) -> Result<HeldPermit, Fail> {
        self.limit.acquire(key).await
    }
}

impl<L: NamedLimit> Argument for Permits<L> {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self { limit: Limits::from_context(context)?.get(L::NAME), named: PhantomData })
    }

    fn describe(description: &mut Description) {
        description.permits.push(L::NAME);
    }
}

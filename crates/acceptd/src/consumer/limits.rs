//! Limits around a single call within a handler, rather than around the whole delivery.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::consumer::{Argument, Context};
use crate::store::{HoldId, KeyRef};
use crate::{Fail, Result};

/// The limits, for a handler: `limits.get("stripe").acquire("acct_1").await?`.
#[derive(Clone)]
pub struct Limits(Context);

/// One limit, for a handler.
#[derive(Clone)]
pub struct LimitHandle {
    context: Context,
    limit: Arc<str>,
}

/// A slot of a limit that is held: until it is dropped, or the attempt ends.
pub struct HeldPermit {
    limiter: Arc<dyn Limiter>,
    id: HoldId,
}

/// A permit on its way.
pub type Acquiring<'a> = Pin<Box<dyn Future<Output = Result<HoldId>> + Send + 'a>>;

/// Who gives permits: the engine.
pub trait Limiter: Send + Sync {
    /// Waits until there is room, and takes it.
    fn acquire(self: Arc<Self>, context: &Context, key: KeyRef) -> Acquiring<'_>;

    /// Takes a permit back.
    fn give_back(self: Arc<Self>, permit: HoldId);
}

impl Limits {
    /// The limit of this name. One that is not declared fails when it is acquired.
    pub fn get(&self, limit: &str) -> LimitHandle {
        LimitHandle { context: self.0.clone(), limit: limit.into() }
    }
}

impl LimitHandle {
    /// Waits until the limit lets a call with this key start; `""` is the key of a limit without one. The call counts
    /// as running until what this returns is dropped.
    ///
    /// # Errors
    /// A [`Fail`] that gives up when the limit is not declared, and one that retries when the attempt is over.
    pub async fn acquire(&self, key: impl AsRef<str>) -> Result<HeldPermit, Fail> {
        let key = KeyRef { limit: Arc::clone(&self.limit), key: key.as_ref().into() };
        let limiter = Arc::clone(&self.context.running().limiter);
        match Arc::clone(&limiter).acquire(&self.context, key).await {
            Ok(id) => Ok(HeldPermit { limiter, id }),
            Err(error) if error.kind() == crate::ErrorKind::NotFound => Err(Fail::terminal("unknown-limit", error)),
            Err(error) => Err(Fail::retry("limit", error)),
        }
    }
}

impl Drop for HeldPermit {
    fn drop(&mut self) {
        Arc::clone(&self.limiter).give_back(self.id);
    }
}

impl Argument for Limits {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self(context.clone()))
    }
}

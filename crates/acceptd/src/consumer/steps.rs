//! Steps: parts of a handler whose results are remembered over attempts.

use std::collections::HashMap;
use std::future::Future;
#[cfg(feature = "testing")]
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use crate::consumer::{Argument, Context};
use crate::store::Step;
use crate::{Fail, Result};

/// Runs parts of a handler so that a later attempt finds the result instead of running them again.
///
/// A step is remembered once its result is stored. Before that a crash runs it again: pass the delivery id on as
/// client token, so that the other side can tell.
#[derive(Clone)]
pub struct Steps {
    context: Context,
    known: Arc<OnceCell<HashMap<String, Vec<u8>>>>,
}

/// What comes before the work of each step, when the application's states have it: a test that crashes there.
#[cfg(feature = "testing")]
#[derive(Clone)]
pub(crate) struct BeforeStep(pub(crate) Arc<Hook>);

#[cfg(feature = "testing")]
type Hook = dyn Fn(&Context, &str) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

impl Steps {
    /// Runs `work` under this name, or returns what it returned in an earlier attempt.
    ///
    /// # Errors
    /// The error of `work`, which is not remembered, or of storing the result.
    pub async fn run<T, E, Work, Returning>(&self, name: &str, work: Work) -> Result<T, Fail>
    where
        T: Serialize + DeserializeOwned,
        E: Into<Fail>,
        Work: FnOnce() -> Returning,
        Returning: Future<Output = Result<T, E>>,
    {
        if let Some(value) = self.known().await?.get(name) {
            let value = serde_json::from_slice(value);
            return value.map_err(|error| Fail::terminal("bad-step", format!("step {name}: {error}")));
        }
        #[cfg(feature = "testing")]
        if let Some(BeforeStep(hook)) = self.context.running().states.get() {
            hook(&self.context, name).await;
        }
        let result = work().await.map_err(Into::into)?;
        let value =
            serde_json::to_vec(&result).map_err(|error| Fail::terminal("bad-step", format!("step {name}: {error}")))?;
        let (delivery, fence) = (self.context.delivery(), self.context.fence());
        self.context.running().store.remember(Step { delivery, fence, name: name.to_owned(), value }).await?;
        Ok(result)
    }

    async fn known(&self) -> Result<&HashMap<String, Vec<u8>>, Fail> {
        let load = || async {
            if self.context.fence() == 1 {
                return Ok(HashMap::new());
            }
            let steps = self.context.running().store.steps(self.context.delivery()).await?;
            Ok(steps.into_iter().collect())
        };
        self.known.get_or_try_init(load).await
    }
}

impl Argument for Steps {
    fn from_context(context: &Context) -> Result<Self, Fail> {
        Ok(Self { context: context.clone(), known: Arc::default() })
    }
}

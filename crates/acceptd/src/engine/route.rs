//! Which consumers take an event type, and which types are known at all.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use crate::store::Serving;
use crate::{Draft, Error, ErrorKind, NewEvent, Result, Route};

/// Types remembered at most, so that a caller can't fill memory with names.
const REMEMBERED_MAX: usize = 10_000;

pub(crate) struct Router {
    servings: Vec<Serving>,
    known: BTreeSet<String>,
    remembered: RwLock<HashMap<String, Arc<[Serving]>>>,
}

impl Router {
    pub(crate) fn new<'a>(
        servings: &'a [Serving],
        declared: impl IntoIterator<Item = &'a String>,
        emitted: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let exact = servings.iter().flat_map(|serving| &serving.on).filter(|pattern| !pattern.ends_with('*'));
        let known = exact.chain(declared).chain(emitted).cloned().collect();
        Self { servings: servings.to_vec(), known, remembered: RwLock::default() }
    }

    /// The event types that are known by name.
    pub(crate) fn known(&self) -> impl Iterator<Item = &String> {
        self.known.iter()
    }

    /// A root event with its consumers.
    ///
    /// # Errors
    /// `UnknownEventType`, with the nearest name, when nobody takes or declares the type; `InvalidData` when it has not
    /// what a limit's key asks for.
    pub(crate) fn root(&self, draft: Draft, owner: Option<&str>) -> Result<NewEvent> {
        let takers = self.takers(&draft.kind);
        if takers.is_empty() && !self.known.contains(draft.kind.as_ref()) {
            return Err(self.unknown(&draft.kind));
        }
        route(draft, owner, &takers)
    }

    /// An emitted event with its consumers; none is fine.
    ///
    /// # Errors
    /// `InvalidData` when it has not what a limit's key asks for.
    pub(crate) fn emitted(&self, draft: Draft, owner: Option<&str>) -> Result<NewEvent> {
        let takers = self.takers(&draft.kind);
        route(draft, owner, &takers)
    }

    /// The consumers of an event that none of them can work on.
    pub(crate) fn anyway(&self, draft: &Draft, owner: Option<&str>) -> Vec<Route> {
        self.takers(&draft.kind).iter().map(|taker| taker.route_anyway(draft, owner)).collect()
    }

    /// What its consumers take: types and patterns, each once.
    pub(crate) fn patterns(&self) -> BTreeSet<String> {
        self.servings.iter().flat_map(|serving| &serving.on).cloned().collect()
    }

    fn takers(&self, kind: &str) -> Arc<[Serving]> {
        if let Some(takers) = self.remembered.read().unwrap_or_else(PoisonError::into_inner).get(kind) {
            return Arc::clone(takers);
        }
        let takers: Arc<[Serving]> = self.servings.iter().filter(|serving| serving.takes(kind)).cloned().collect();
        let mut remembered = self.remembered.write().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(kind.to_owned(), Arc::clone(&takers));
        }
        takers
    }

    fn unknown(&self, kind: &str) -> Error {
        let patterns = self.servings.iter().flat_map(|serving| &serving.on);
        let names = self.known.iter().chain(patterns);
        let hint = match nearest(kind, names.map(String::as_str)) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        Error::new(ErrorKind::UnknownEventType, format!("no consumer takes and nothing declares {kind:?}{hint}"))
    }
}

fn route(draft: Draft, owner: Option<&str>, takers: &[Serving]) -> Result<NewEvent> {
    let routes = takers.iter().map(|taker| taker.route(&draft, owner)).collect::<Result<_>>()?;
    Ok(NewEvent { draft, routes })
}

/// The name that is most like `word`, if any is like it at all.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(word, name);
    let best = names.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > 0.7).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Weight;
    use crate::limit::Policy;

    fn router() -> Router {
        let serving = |name: &str, on: &str| Serving {
            on: vec![on.to_owned()],
            consumer: name.to_owned(),
            weight: Weight::Tracked,
            policy: Policy::default(),
        };
        let declared = ["declared.only".to_owned()];
        Router::new(&[serving("a", "ec2.start"), serving("b", "ec2.*")], &declared, &[])
    }

    #[test]
    fn every_consumer_that_takes_the_type_gets_it() {
        let new = router().root(Draft::new("ec2.start"), None).unwrap();
        assert_eq!(new.routes.iter().map(|route| route.consumer.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert!(router().root(Draft::new("declared.only"), None).unwrap().routes.is_empty());
    }

    #[test]
    fn an_unknown_type_gets_the_nearest_name() {
        let error = router().root(Draft::new("ec.start"), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownEventType);
        assert!(error.message().ends_with("did you mean ec2.start?"), "{error}");
        assert!(!router().root(Draft::new("zzz"), None).unwrap_err().message().contains("mean"));
    }
}

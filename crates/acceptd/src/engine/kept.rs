//! Kept outcomes: what a handler had answered when its events could not be taken. A person who has declared what was
//! missing accepts it: the delivery ends as it would have, and nobody is asked a second time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::engine::{Engine, Monitor};
use crate::store::{DeadLetters, KEPT_OUTCOME};
use crate::{
    Data, Delivery, DeliveryId, Done, Draft, Error, ErrorKind, Fail, JSON, Notice, Outcome, ProgressReport, Result,
    Timestamp,
};

/// The source of events that say none.
const OWN: &str = "/acceptd";

/// An outcome as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    result: Option<Box<RawValue>>,
    emit: Vec<KeptEvent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressReport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    notify: Option<Notice>,
}

/// An event that was to follow.
#[derive(Serialize, Deserialize)]
struct KeptEvent {
    #[serde(rename = "type")]
    kind: String,
    data: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataschema: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    extensions: BTreeMap<String, String>,
}

/// An outcome, for a person to look at and to accept. Data that is not JSON is left out.
pub(super) fn keep(done: &Done) -> Option<Data> {
    let raw = |data: &Option<Data>| data.as_ref().and_then(Data::to_raw_json);
    let event = |draft: &Draft| KeptEvent {
        kind: draft.kind.clone().into_owned(),
        data: raw(&draft.data),
        source: Some(draft.source.clone().into_owned()).filter(|source| source != OWN),
        id: draft.id.clone(),
        subject: draft.subject.clone(),
        time: draft.time,
        dataschema: draft.dataschema.clone(),
        extensions: draft.extensions.clone(),
    };
    let emit = done.emit.iter().map(event).collect();
    let kept = Kept { result: raw(&done.result), emit, progress: done.progress.clone(), notify: done.notify.clone() };
    Data::json(&kept).ok()
}

/// The outcome that was kept.
fn read(bytes: &[u8]) -> Result<Done> {
    let kept: Kept = serde_json::from_slice(bytes)
        .map_err(|error| Error::new(ErrorKind::Conflict, format!("the kept outcome can't be read: {error}")))?;
    let data = |raw: Option<Box<RawValue>>| raw.map(|raw| Data::new(JSON, raw.get().to_owned()));
    let draft = |event: KeptEvent| Draft {
        kind: Cow::Owned(event.kind),
        source: event.source.map_or(Cow::Borrowed(OWN), Cow::Owned),
        id: event.id,
        subject: event.subject,
        time: event.time,
        dataschema: event.dataschema,
        data: data(event.data),
        extensions: event.extensions,
    };
    let emit = kept.emit.into_iter().map(draft).collect();
    Ok(Done { result: data(kept.result), emit, progress: kept.progress, notify: kept.notify, pause: None })
}

impl Engine {
    /// Accepts the outcome of a dead letter that could not be taken before: its next attempt ends with it, without its
    /// target.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it is no dead letter, no outcome was kept, or it still can't be taken;
    /// `Unavailable` when its consumer is not served here.
    pub async fn accept_outcome(&self, id: DeliveryId) -> Result<Monitor> {
        let view = self.0.store.delivery(id).await?;
        let missing = || Error::new(ErrorKind::Conflict, format!("no outcome of delivery {id} was kept"));
        let done = read(&view.outcome.ok_or_else(missing)?.bytes)?;
        let served = self.0.served.get(&view.delivery.consumer);
        let served = served.ok_or_else(|| super::settle::not_served(&view.delivery))?;
        let of = (&view.delivery, &view.event);
        let follow = self.follow(served.consumer(), of, view.owner.as_deref(), &done.emit);
        follow.map_err(|failure| Error::new(ErrorKind::Conflict, failure.message))?;
        self.retry(DeadLetters::Outcome(id)).await
    }

    /// The outcome that a person accepted for this delivery, in place of another run of its target.
    pub(super) async fn accepted_outcome(&self, delivery: &Delivery) -> Option<Outcome> {
        // Whoever was revived has its first attempt with another fence than the first.
        if delivery.attempts > 1 || delivery.fence <= 1 {
            return None;
        }
        match self.0.store.steps(delivery.id).await {
            Ok(steps) => {
                let (_, bytes) = steps.into_iter().find(|(name, _)| name == KEPT_OUTCOME)?;
                Some(read(&bytes).map_err(|error| Fail::terminal("bad-outcome", error)))
            }
            Err(error) => Some(Err(Fail::retry("store", error))),
        }
    }
}

//! What limits promise, checked by what claims gave out: the turnstile's own books are not asked.
//!
//! Who holds a slot is counted from the deliveries that run, from the permits that were given and not given back, and
//! from attempts whose end nobody heard of. Where something is not known for sure, such as how far a pause was cut
//! short by a resume, the check that a claim left nothing standing says nothing; the checks that nothing was exceeded
//! always do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptd::delivery::{Ending as Ended, State};
use acceptd::limit::gcra::Pace;
use acceptd::limit::{AHEAD, Rate};
use acceptd::store::{HoldId, KeyRef, Permitted};
use acceptd::{Delivery, DeliveryId, Timestamp};

use super::invariant::holds;
use super::scene::{CONSUMERS, LIMITS, keys_of, limit};
use super::side::{Picture, Seen};
use super::{Command, Ending};

/// How long before its time something is given out at most.
const EARLY: Duration = Duration::from_millis(4 * AHEAD.as_millis() as u64);

/// What was seen of limits so far.
#[derive(Debug, Default)]
pub struct Meter {
    /// Whether the store knows the limits; before, nothing is paused.
    is_declared: bool,
    /// Consumers whose limits are known to the store.
    registered: BTreeSet<String>,
    /// When something started of each key, in nanoseconds.
    starts: BTreeMap<KeyRef, Vec<i64>>,
    /// The theoretical arrival time of each key, or a later one.
    tats: BTreeMap<KeyRef, i64>,
    /// Until when a limit or a key is paused, or less long.
    paused: BTreeMap<(String, Option<String>), Timestamp>,
    /// Keys that were throttled, which may begin with one at a time.
    throttled: BTreeSet<KeyRef>,
    lingering: Vec<(Vec<KeyRef>, Timestamp)>,
    permits: BTreeMap<HoldId, KeyRef>,
    /// What ran after the command before.
    running: BTreeMap<DeliveryId, Delivery>,
}

impl Meter {
    /// Checks what a command gave out, with a picture that was taken after it.
    ///
    /// # Errors
    /// The promise that was broken.
    pub fn check(&mut self, command: &Command, seen: &Seen, picture: &Picture, now: Timestamp) -> Result<(), String> {
        self.note(command, now);
        self.note_ends(command, picture);
        let running = deliveries(picture).filter(|delivery| delivery.state == State::Running);
        self.running = running.map(|delivery| (delivery.id, delivery.clone())).collect();
        self.note_permits(seen, now);
        let running = &self.running;
        self.permits.retain(|id, _| running.get(&id.delivery).is_some_and(|delivery| delivery.fence == id.fence));
        self.check_slots(seen, now)?;
        if let Command::Claim { consumers, max, .. } = command {
            self.check_claim(seen, picture, now)?;
            self.check_left(consumers, *max, seen, picture, now)?;
        }
        self.check_rates()
    }

    fn note(&mut self, command: &Command, now: Timestamp) {
        let names = |limit: &usize, key: &Option<u8>| (LIMITS[*limit].to_owned(), key.map(|key| key.to_string()));
        match command {
            Command::Register { consumers, .. } => {
                self.is_declared = true;
                self.registered.extend(consumers.iter().map(|consumer| CONSUMERS[*consumer].to_owned()));
            }
            Command::PauseLimit { limit, key, seconds } if self.is_declared => {
                let until = seconds.map_or(Timestamp::MAX, |seconds| now + Duration::from_secs(seconds));
                self.pause(names(limit, key), until);
            }
            Command::ResumeLimit { limit, key: None } => {
                self.paused.retain(|(paused, _), _| *paused != LIMITS[*limit]);
            }
            Command::ResumeLimit { limit, key } => drop(self.paused.remove(&names(limit, key))),
            _ => {}
        }
    }

    fn pause(&mut self, what: (String, Option<String>), until: Timestamp) {
        let end = self.paused.entry(what).or_insert(until);
        *end = until.max(*end);
    }

    /// What ran before and runs no longer may linger, or may have been throttled.
    fn note_ends(&mut self, command: &Command, picture: &Picture) {
        let is_unheard = match command {
            Command::Cancel(_) | Command::Rescue(_) => true,
            Command::Settle { verdict: Ending::Retry { unfinished, .. } | Ending::Release { unfinished }, .. } => {
                *unfinished
            }
            _ => false,
        };
        let now: BTreeMap<_, _> = deliveries(picture).map(|delivery| (delivery.id, delivery)).collect();
        for (id, before) in std::mem::take(&mut self.running) {
            let is_same = |after: &&&Delivery| after.state == State::Running && after.fence == before.fence;
            if now.get(&id).filter(is_same).is_some() {
                continue;
            }
            let keys = self.keys_of(&before);
            if let Some(until) = before.deadline.filter(|_| is_unheard) {
                self.lingering.push((keys.clone(), until));
            }
            let attempts = picture.operations.iter().flat_map(|one| &one.chain.attempts);
            let mut last = attempts.filter(|one| one.delivery == id && one.fence == before.fence);
            if let (Some(Ended::Throttled), Some(after)) = (last.next().map(|last| last.ending), now.get(&id)) {
                self.note_throttled(command, &before, keys, after.due);
            }
        }
    }

    fn note_throttled(&mut self, command: &Command, before: &Delivery, mut keys: Vec<KeyRef>, until: Timestamp) {
        if let Command::Settle { verdict: Ending::Throttled { limit: Some(limit), .. }, .. } = command {
            self.pause((LIMITS[*limit].to_owned(), None), until);
        }
        let of_attempt = |id: &HoldId| id.delivery == before.id && id.fence == before.fence;
        keys.extend(self.permits.iter().filter(|(id, _)| of_attempt(id)).map(|(_, key)| key.clone()));
        // Without a key it is the one that throttling a limit by its name is about.
        keys.extend(LIMITS.iter().map(|limit| crate::factory::key(limit, "")));
        for key in keys {
            self.pause((key.limit.to_string(), Some(key.key.to_string())), until);
            if let Some(rate) = limit(&key.limit).rate {
                let tat = self.tats.entry(key.clone()).or_default();
                *tat = with_margin(rate).empty_at(*tat, nanos(until));
            }
            self.throttled.insert(key);
        }
    }

    fn note_permits(&mut self, seen: &Seen, now: Timestamp) {
        if let Some(id) = seen.given_back {
            self.permits.remove(&id);
        }
        if let Some(Permitted::Held { id, grant }) = &seen.permitted {
            for granted in &grant.keys {
                self.permits.insert(*id, granted.key.clone());
                self.start(&granted.key, grant.start.max(now));
            }
        }
    }

    fn start(&mut self, key: &KeyRef, start: Timestamp) {
        let Some(rate) = limit(&key.limit).rate else { return };
        self.starts.entry(key.clone()).or_default().push(nanos(start));
        let tat = self.tats.entry(key.clone()).or_default();
        *tat = with_margin(rate).take(*tat, nanos(start));
    }

    /// The keys that a delivery holds while it runs.
    fn keys_of(&self, delivery: &Delivery) -> Vec<KeyRef> {
        match self.registered.contains(&delivery.consumer) {
            true => keys_of(&delivery.consumer, &delivery.lane.group),
            false => Vec::new(),
        }
    }

    fn held(&self, key: &KeyRef, now: Timestamp) -> usize {
        let running = self.running.values().filter(|delivery| self.keys_of(delivery).contains(key)).count();
        let lingering = self.lingering.iter().filter(|(keys, until)| *until > now && keys.contains(key)).count();
        running + lingering + self.permits.values().filter(|held| *held == key).count()
    }

    /// Nothing was given out beyond a limit's slots.
    fn check_slots(&self, seen: &Seen, now: Timestamp) -> Result<(), String> {
        let claimed = seen.claims.claimed.iter().flat_map(|claimed| &claimed.keys);
        let permitted = match &seen.permitted {
            Some(Permitted::Held { grant, .. }) => &grant.keys[..],
            _ => &[],
        };
        for granted in claimed.chain(permitted) {
            let (held, slots) = (self.held(&granted.key, now), limit(&granted.key.limit).concurrency);
            let is_kept = slots.is_none_or(|slots| held <= slots as usize);
            holds(is_kept, &format!("no more than {slots:?} hold {:?}, not {held}", granted.key))?;
        }
        Ok(())
    }

    fn check_claim(&mut self, seen: &Seen, picture: &Picture, now: Timestamp) -> Result<(), String> {
        for claimed in &seen.claims.claimed {
            let (delivery, keys) = (&claimed.delivery, self.keys_of(&claimed.delivery));
            let granted: Vec<_> = claimed.keys.iter().map(|granted| granted.key.clone()).collect();
            holds(granted == keys, "a delivery takes the keys of its group, all of them")?;
            holds(delivery.due <= now, "nothing starts before it is due")?;
            holds(claimed.start >= now && claimed.start <= now + EARLY, "nothing is given out long before its time")?;
            let stops = keys.iter().any(|key| self.is_surely_paused(key));
            holds(!stops, "nothing starts while its limit is paused")?;
            keys.iter().for_each(|key| self.start(key, claimed.start));
            if delivery.lane.ordered && self.registered.contains(&delivery.consumer) {
                let live = deliveries(picture).filter(|other| !other.state.has_ended() && other.id != delivery.id);
                let mut of_group =
                    live.filter(|other| other.consumer == delivery.consumer && other.lane.group == delivery.lane.group);
                let is_first = of_group.all(|other| other.id > delivery.id && other.state == State::Waiting);
                holds(is_first, "an ordered group runs one after the other, the oldest first")?;
            }
        }
        Ok(())
    }

    /// A pause by a person, which nothing but a resume ends.
    fn is_surely_paused(&self, key: &KeyRef) -> bool {
        let is_paused = |of_key| self.paused.get(&(key.limit.to_string(), of_key)) == Some(&Timestamp::MAX);
        is_paused(None) || is_paused(Some(key.key.to_string()))
    }

    /// A claim with room left nothing standing whose keys all have room.
    fn check_left(
        &self,
        consumers: &[usize],
        max: usize,
        seen: &Seen,
        picture: &Picture,
        now: Timestamp,
    ) -> Result<(), String> {
        for consumer in consumers.iter().map(|consumer| CONSUMERS[*consumer]) {
            let given = seen.claims.claimed.iter().filter(|claimed| claimed.delivery.consumer == consumer).count();
            if given >= max || seen.claims.paused.iter().any(|(paused, _)| paused == consumer) {
                continue;
            }
            let live = || deliveries(picture).filter(|one| one.consumer == consumer && !one.state.has_ended());
            for delivery in live().filter(|one| one.state == State::Waiting && one.due <= now) {
                let comes_before = |other: &Delivery| other.id < delivery.id || other.state == State::Running;
                let is_behind = delivery.lane.ordered
                    && live().any(|other| other.lane.group == delivery.lane.group && comes_before(other));
                let is_open = self.keys_of(delivery).iter().all(|key| self.is_surely_open(key, now));
                holds(is_behind || !is_open, &format!("a claim with room leaves nothing standing: {delivery:#?}"))?;
            }
        }
        Ok(())
    }

    fn is_surely_open(&self, key: &KeyRef, now: Timestamp) -> bool {
        let limit = limit(&key.limit);
        let is_paused = |of_key: Option<String>| {
            self.paused.get(&(key.limit.to_string(), of_key)).is_some_and(|until| *until > now)
        };
        let has_slot = limit.concurrency.is_none_or(|slots| {
            let surely = if self.throttled.contains(key) { 1 } else { slots as usize };
            self.held(key, now) < surely
        });
        let tat = self.tats.get(key).copied().unwrap_or_default();
        let has_start = limit.rate.is_none_or(|rate| with_margin(rate).slot(tat, nanos(now)) <= nanos(now));
        !is_paused(None) && !is_paused(Some(key.key.to_string())) && has_slot && has_start
    }

    /// In every window of every key there are no more starts than its burst and its rate.
    fn check_rates(&self) -> Result<(), String> {
        for (key, starts) in &self.starts {
            let Some(rate) = limit(&key.limit).rate else { continue };
            let mut sorted = starts.clone();
            sorted.sort_unstable();
            for (first, from) in sorted.iter().enumerate() {
                for (last, to) in sorted.iter().enumerate().skip(first) {
                    let allowed = i64::from(rate.burst()) + (to - from) / rate.interval();
                    let count = (last - first + 1) as i64;
                    holds(count <= allowed, &format!("{key:?} starts {count} times from {from} to {to}"))?;
                }
            }
        }
        Ok(())
    }
}

fn deliveries(picture: &Picture) -> impl Iterator<Item = &Delivery> {
    picture.operations.iter().flat_map(|one| &one.chain.deliveries)
}

fn nanos(at: Timestamp) -> i64 {
    at.as_micros() * 1_000
}

fn with_margin(rate: Rate) -> Pace {
    Pace::with_margin(rate.interval(), rate.burst())
}

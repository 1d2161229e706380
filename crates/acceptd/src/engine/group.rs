//! Groups: what an operation has waiting, gathered by what it waits for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::delivery::State;
use crate::engine::Engine;
use crate::engine::gate;
use crate::limit::Lane;
use crate::store::turnstile::Blocker;
use crate::store::{GroupCount, OperationView, Standing};
use crate::wait::Held;
use crate::{Closure, Delivery, DeliveryId, Gate, Result, Route};

/// Waits that are told apart by their limit's key at most; when there are more, keys of a limit are told as one.
const SHOWN_MAX: usize = 20;

/// Positions are exact to one less.
const POSITION_MAX: usize = 1_001;

/// What holds groups, by consumer and group.
pub(crate) type Standings = BTreeMap<(String, String), Standing>;

/// Deliveries of one operation in one group of a consumer that wait for the same.
pub(crate) struct Group<'a> {
    pub(crate) gate: Gate,
    /// The oldest; when only their number is known, one that looks like them and has no id.
    pub(crate) first: Delivery,
    pub(crate) count: u64,
    pub(crate) standing: Option<&'a Standing>,
    pub(crate) closure: Option<Closure>,
}

impl Group<'_> {
    fn is_of(&self, consumer: &str, group: &str) -> bool {
        self.first.consumer == consumer && self.first.lane.group == group
    }

    /// Whether it is for the same that both wait; `by_key` tells the keys of a limit apart.
    fn waits_like(&self, other: &Self, by_key: bool) -> bool {
        let is_same = match (self.blocker(), other.blocker()) {
            (Some(mine), Some(other)) => mine.limit.name == other.limit.name && (!by_key || mine.key == other.key),
            (mine, other) => mine.is_none() && other.is_none(),
        };
        self.first.consumer == other.first.consumer && self.gate == other.gate && is_same
    }

    /// How many come before a delivery that has so many of its own group before it: groups take turns.
    pub(crate) fn position(&self, ahead: usize) -> usize {
        let standing = self.standing.map_or((0, 1), |standing| (standing.before, standing.turns.max(1)));
        ahead.saturating_mul(standing.1).saturating_add(standing.0).min(POSITION_MAX)
    }

    /// Whether its first delivery is one that is known.
    pub(crate) fn is_listed(&self) -> bool {
        self.first.id != uuid::Uuid::nil().into()
    }

    /// What holds it, when that is a limit.
    fn blocker(&self) -> Option<&Blocker> {
        let standing = self.standing.filter(|_| matches!(self.gate, Gate::Limit | Gate::Lock))?;
        standing.blocker.as_ref()
    }
}

/// The first group of each that wait for the same, and how many deliveries these are.
pub(crate) fn merged<'g, 'a>(groups: &'g [Group<'a>]) -> Vec<(&'g Group<'a>, u64)> {
    let merge = |by_key: bool| {
        let mut merged: Vec<(&Group<'_>, u64)> = Vec::new();
        for group in groups {
            match merged.iter_mut().find(|(first, _)| first.waits_like(group, by_key)) {
                Some((_, count)) => *count += group.count,
                None => merged.push((group, group.count)),
            }
            if by_key && merged.len() > SHOWN_MAX {
                break;
            }
        }
        merged
    };
    let by_key = merge(true);
    if by_key.len() > SHOWN_MAX { merge(false) } else { by_key }
}

impl Engine {
    /// How much of an operation waits in each group. The list of its live deliveries may be cut off.
    pub(crate) async fn counts(&self, view: &OperationView) -> Result<Vec<GroupCount>> {
        let live = view.operation.tracked.live() + view.operation.untracked.live();
        match live as usize > view.live.len() {
            true => self.0.store.groups(view.operation.id).await,
            false => Ok(Vec::new()),
        }
    }

    /// What holds each of these groups that has limits.
    pub(crate) async fn standings<'a>(&self, groups: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Standings> {
        let has_limits = |name: &str| self.0.served.get(name).is_some_and(|served| !served.policy().limits.is_empty());
        let groups: BTreeSet<_> = groups.filter(|(consumer, _)| has_limits(consumer)).collect();
        if groups.is_empty() {
            return Ok(Standings::default());
        }
        let groups: Vec<_> = groups.into_iter().map(|(one, group)| (one.to_owned(), group.to_owned())).collect();
        let standings = self.0.store.standing(groups.clone(), self.now()).await?;
        Ok(groups.into_iter().zip(standings).collect())
    }

    /// What an operation has waiting, in groups.
    pub(crate) fn gather<'a>(
        &self,
        view: &OperationView,
        counts: &[GroupCount],
        standings: &'a Standings,
    ) -> Vec<Group<'a>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        let mut places: HashMap<(&str, &str, Gate), usize> = HashMap::new();
        let mut listed: HashMap<(&str, &str), u64> = HashMap::new();
        for delivery in view.live.iter().filter(|delivery| delivery.state == State::Waiting) {
            let (consumer, name) = place(delivery);
            let group = self.group(delivery.clone(), standings);
            *listed.entry((consumer, name)).or_default() += 1;
            match places.get(&(consumer, name, group.gate)).and_then(|at| groups.get_mut(*at)) {
                Some(known) => known.count += 1,
                None => {
                    places.insert((consumer, name, group.gate), groups.len());
                    groups.push(group);
                }
            }
        }
        for count in counts {
            let (consumer, name) = (count.consumer.as_str(), count.group.as_str());
            let more = count.waiting.saturating_sub(listed.get(&(consumer, name)).copied().unwrap_or(0));
            if more > 0 {
                self.add_unlisted(&mut groups, view, count, more, standings);
            }
        }
        groups
    }

    /// Adds deliveries that are counted and not listed: to those of their group, or as a group of their own.
    fn add_unlisted<'a>(
        &self,
        groups: &mut Vec<Group<'a>>,
        view: &OperationView,
        GroupCount { consumer, group, .. }: &GroupCount,
        more: u64,
        standings: &'a Standings,
    ) {
        let is_like = |one: &&mut Group<'_>| one.gate != Gate::DueTime && one.is_of(consumer, group);
        if let Some(known) = groups.iter_mut().find(is_like) {
            known.count += more;
            return;
        }
        let (operation, nil) = (&view.operation, uuid::Uuid::nil());
        let lane = Lane { group: group.clone(), ..Lane::default() };
        let route = Route { lane, ..Route::to(consumer) };
        let times = (operation.created, operation.created);
        let first = Delivery::new(nil.into(), operation, nil.into(), &route, times);
        groups.push(Group { count: more, ..self.group(first, standings) });
    }

    /// A group of waiting deliveries by its first, with the gate that holds it.
    pub(crate) fn group<'a>(&self, first: Delivery, standings: &'a Standings) -> Group<'a> {
        let standing = standings.get(&(first.consumer.clone(), first.lane.group.clone()));
        let closure = self.closure(&first.consumer);
        let mut group = Group { gate: Gate::Capacity, first, count: 1, standing, closure };
        group.gate = gate::gate(&group.first, &self.circumstances(&group, None), self.now());
        group
    }

    /// The limit that holds each of these deliveries now, of those that wait for one.
    ///
    /// # Errors
    /// The store's errors.
    pub async fn held(&self, deliveries: &[Delivery]) -> Result<HashMap<DeliveryId, Held>> {
        let waiting = || deliveries.iter().filter(|delivery| delivery.state == State::Waiting);
        let standings = self.standings(waiting().map(place)).await?;
        let held = |delivery: &Delivery| {
            let standing = standings.get(&(delivery.consumer.clone(), delivery.lane.group.clone()))?;
            let limit = &standing.blocker.as_ref()?.limit;
            Some((delivery.id, Held { gate: limit.gate(), limit: limit.name.clone() }))
        };
        Ok(waiting().filter_map(held).collect())
    }
}

/// The consumer and the group of a delivery.
pub(crate) fn place(delivery: &Delivery) -> (&str, &str) {
    (&delivery.consumer, &delivery.lane.group)
}

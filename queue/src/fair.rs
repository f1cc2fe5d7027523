//! Whose step goes next: start-time fair queueing. Pure.
//!
//! Each flow (a tenant's missions of one priority) has a weight. A step is given a
//! *rank*, the virtual time at which its flow may start it: not before now, and not
//! before the flow's last step has had its share. The smallest rank goes first. So a
//! flow gets takers by its weight whenever it has work, what it does not use is
//! everybody's, and nothing starves: whatever waits is passed by a bounded number of
//! steps of others, because each of these moves its own flow back. A low priority is
//! a small weight; that it ages follows by itself.
//!
//! The bound: of flows with weights `w₁ … wₙ`, the `k`-th step that a flow of weight
//! `w` has waiting is taken after at most `k · (w₁ + … + wₙ) / w + 2n` takes.

use charter::flow::Priority;
use charter::ids::TenantId;
use charter::ports::OutboxRow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What a step costs a flow of weight 1; divided by most weights without a rest.
const UNIT: u64 = 50_400;
/// The largest weight of a tenant.
const WEIGHT_MAX: u32 = 100;
/// The largest rank: it fits into a floating-point number without a rest, and is
/// reached after years.
const RANK_MAX: u64 = 1 << 52;

/// Weights of tenants. Who is not named has 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Weights(pub BTreeMap<TenantId, u32>);

impl Weights {
    fn of(&self, flow: &Key) -> u64 {
        let tenant = self.0.get(&flow.0).copied().unwrap_or(1).clamp(1, WEIGHT_MAX);
        u64::from(tenant) * u64::from(flow.1.weight())
    }
}

/// Names a flow within its lane.
type Key = (TenantId, Priority);

/// The state of one line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fair {
    /// Virtual time: the rank that is being taken.
    now: u64,
    /// The largest rank that was given.
    last: u64,
    /// When the flows may start their next step, where that is later than now.
    next: BTreeMap<Key, u64>,
}

impl Fair {
    /// Takes note of the first rank in the line, or that nothing waits.
    pub(crate) fn look(&mut self, head: Option<u64>) {
        match head {
            Some(head) => self.now = self.now.max(head.min(RANK_MAX)),
            // All were taken. That need not mean that no flow has more: takers may be
            // quicker than whoever fills the line.
            None => self.now = self.now.max(self.last),
        }
        if head.is_none() && self.now > RANK_MAX / 2 {
            *self = Self::default();
        }
        let now = self.now;
        self.next.retain(|_, next| *next > now);
    }

    /// The same line as if no flow had had anything yet.
    pub(crate) fn afresh(&self) -> Self {
        Self { now: self.now, last: self.now, next: BTreeMap::new() }
    }

    fn start(&self, flow: &Key) -> u64 {
        self.next.get(flow).copied().unwrap_or_default().max(self.now)
    }

    /// Chooses at most `room` of the rows, which stand in order within their flows,
    /// and gives them ranks.
    pub(crate) fn pick(
        &mut self,
        rows: impl IntoIterator<Item = OutboxRow>,
        room: usize,
        weights: &Weights,
    ) -> Vec<(OutboxRow, u64)> {
        let mut flows: BTreeMap<Key, VecDeque<OutboxRow>> = BTreeMap::new();
        for row in rows {
            flows.entry((row.tenant.clone(), row.priority)).or_default().push_back(row);
        }
        let cost = |flow: &Key| UNIT / weights.of(flow);
        // Of two that may start at the same time, the one that is done sooner.
        let place = |fair: &Self, flow: &Key| {
            let start = fair.start(flow);
            (start, start + cost(flow), flow.clone())
        };
        let mut turns: BTreeSet<_> = flows.keys().map(|flow| place(self, flow)).collect();
        let mut picked = Vec::with_capacity(room.min(flows.values().map(VecDeque::len).sum()));
        while picked.len() < room {
            let Some((start, end, flow)) = turns.pop_first() else { break };
            let Some(row) = flows.get_mut(&flow).and_then(VecDeque::pop_front) else { continue };
            picked.push((row, start));
            self.last = self.last.max(start);
            self.next.insert(flow.clone(), end);
            turns.insert(place(self, &flow));
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;
    use proptest::prelude::*;

    fn weights(of: &[(&str, u32)]) -> Weights {
        Weights(of.iter().map(|(name, weight)| (TenantId((*name).to_owned()), *weight)).collect())
    }

    fn rows(of: &[(&str, Priority, u32)]) -> Vec<OutboxRow> {
        let each = |(tenant, priority, count): &(&str, Priority, u32)| {
            let (tenant, priority) = ((*tenant).to_owned(), *priority);
            (1..=*count).map(move |n| row(&tenant, priority, n))
        };
        of.iter().flat_map(each).collect()
    }

    fn check(rows: Vec<OutboxRow>, weights: &Weights, room: usize, expect: &str) {
        let picked = Fair::default().pick(rows, room, weights);
        let names: Vec<_> = picked.iter().map(|(row, _)| row.tenant.0.as_str()).collect();
        assert_eq!(names.join(""), expect);
        assert!(picked.windows(2).all(|two| two[0].1 <= two[1].1), "in order of their ranks");
    }

    #[test]
    fn equals_take_turns_and_what_one_leaves_the_others_take() {
        use Priority::Normal;
        let none = Weights::default();
        check(rows(&[("a", Normal, 9), ("b", Normal, 3)]), &none, 8, "abababaa");
        check(rows(&[("a", Normal, 2)]), &none, 8, "aa");
        check(Vec::new(), &none, 8, "");
        check(rows(&[("a", Normal, 2)]), &none, 0, "");
    }

    #[test]
    fn a_tenant_of_weight_three_gets_three_of_four() {
        let both = rows(&[("a", Priority::Normal, 9), ("b", Priority::Normal, 9)]);
        check(both, &weights(&[("a", 3)]), 8, "abaaabaa");
    }

    #[test]
    fn what_is_urgent_goes_first_and_what_is_not_still_goes() {
        let all = rows(&[("a", Priority::Low, 9), ("b", Priority::High, 40)]);
        let picked = Fair::default().pick(all, 34, &Weights::default());
        let low: Vec<_> = picked
            .iter()
            .enumerate()
            .filter(|(_, (row, _))| row.priority == Priority::Low)
            .map(|(at, _)| at)
            .collect();
        assert_eq!(low, [1, 18], "one of seventeen");
    }

    #[test]
    fn who_comes_late_begins_now_and_not_behind_who_was_there() {
        let none = Weights::default();
        let mut fair = Fair::default();
        let first = fair.pick(rows(&[("a", Priority::Normal, 100)]), 100, &none);
        // Ten were taken since.
        fair.look(Some(first[10].1));
        let late = fair.pick(rows(&[("b", Priority::Normal, 1)]), 1, &none);
        assert_eq!(late[0].1, first[10].1);
        // An idle flow saves nothing up.
        fair.look(Some(first[50].1));
        let again = fair.pick(rows(&[("b", Priority::Normal, 2)]), 2, &none);
        assert_eq!(again[0].1, first[50].1);
    }

    #[test]
    fn who_was_alone_for_long_owes_no_more_than_a_turn() {
        let mut fair = Fair::default();
        fair.pick(rows(&[("a", Priority::Normal, 100)]), 100, &Weights::default());
        fair.look(None);
        let both = rows(&[("a", Priority::Normal, 3), ("b", Priority::Normal, 3)]);
        let picked = fair.pick(both, 6, &Weights::default());
        let names: String = picked.iter().map(|(row, _)| row.tenant.0.as_str()).collect();
        assert_eq!(names, "bababa");
    }

    #[test]
    fn ranks_stay_within_what_every_queue_can_hold() {
        let mut fair = Fair::default();
        fair.look(Some(u64::MAX));
        let picked = fair.pick(rows(&[("a", Priority::Low, 1)]), 1, &Weights::default());
        assert_eq!(picked[0].1, RANK_MAX);
        fair.look(None);
        assert_eq!(fair, Fair::default());
    }

    /// Flows by tenant, weight and priority.
    fn flows() -> impl Strategy<Value = Vec<(String, u32, Priority)>> {
        let flow = (1..=9_u32, prop::sample::select(Priority::ALL.to_vec()));
        prop::collection::vec(flow, 1..6).prop_map(|flows| {
            let named = flows.into_iter().enumerate();
            named.map(|(n, (weight, priority))| (format!("t{n}"), weight, priority)).collect()
        })
    }

    fn weight(flow: &(String, u32, Priority)) -> u32 {
        flow.1 * flow.2.weight()
    }

    /// A relay, a line of bounded length and takers, over flows that always have more.
    /// Answers how often each flow was taken from while the line was used.
    fn play(flows: &[(String, u32, Priority)], window: usize, takes: usize) -> Vec<usize> {
        let weights =
            Weights(flows.iter().map(|flow| (TenantId(flow.0.clone()), flow.1)).collect());
        let (mut fair, mut line) = (Fair::default(), BTreeSet::new());
        let (mut taken, mut count) = (vec![0; flows.len()], 0_u64);
        for _ in 0..takes {
            fair.look(line.first().map(|(rank, _, _)| *rank));
            let rows = flows.iter().flat_map(|(tenant, _, priority)| {
                (1..=window as u32).map(|n| row(tenant, *priority, n))
            });
            for (row, rank) in fair.pick(rows, window - line.len(), &weights) {
                count += 1;
                line.insert((rank, count, row.tenant));
            }
            let (_, _, tenant) = line.pop_first().unwrap();
            let at = flows.iter().position(|flow| flow.0 == tenant.0).unwrap();
            taken[at] += 1;
        }
        taken
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whoever_has_work_gets_its_share_within_a_window(flows in flows(), window in 1_usize..30) {
            let takes = 300;
            let all: u32 = flows.iter().map(weight).sum();
            for (flow, taken) in flows.iter().zip(play(&flows, window, takes)) {
                let share = takes as f64 * f64::from(weight(flow)) / f64::from(all);
                let off = (taken as f64 - share).abs();
                prop_assert!(off <= 1.0 + flows.len() as f64, "{flow:?}: {taken} instead of {share}");
            }
        }

        #[test]
        fn nothing_waits_longer_than_the_bound(flows in flows(), window in 1_usize..30, k in 1_usize..4) {
            let (all, n) = (flows.iter().map(weight).sum::<u32>() as usize, flows.len());
            for (at, flow) in flows.iter().enumerate() {
                let bound = k * all / weight(flow) as usize + 2 * n;
                prop_assert!(play(&flows, window, bound)[at] >= k, "{flow:?} within {bound}");
            }
        }
    }
}

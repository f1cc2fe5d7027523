//! The rows that a transition works on: as they were, and as they are now.

use charter::budget::Budget;
use charter::content::ContentRef;
use charter::digest::Digest;
use charter::flow::Priority;
use charter::ids::{ApprovalId, ContentId, Millis, MissionId, StepKey, TenantId};
use charter::ports::LedgerError;
use charter::record::{Record, RecordKey, RecordKind};
use charter::rows::{ApprovalRow, EffectRow, MadeRow, MissionRow, StepRow};
use std::collections::BTreeMap;
use std::fmt;

/// Names a row, or the rows of all steps of a mission.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// A mission.
    Mission(MissionId),
    /// A step, an instance or a report.
    Step(StepKey),
    /// All steps of a mission with its report, without instances.
    StepsOf(MissionId),
    /// An effect.
    Effect(Digest),
    /// An approval.
    Approval(ApprovalId),
    /// A file that Alma made, of the transition's tenant.
    Made(Digest),
    /// A record.
    Record(RecordKey),
    /// A text that was forgotten.
    Forgotten(ContentId),
}

impl RowKey {
    /// A record of this kind.
    pub(super) fn record(kind: RecordKind, id: impl fmt::Display) -> Self {
        Self::Record(RecordKey::new(kind, id.to_string()))
    }
}

/// A text that was forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ForgottenRow {
    /// Its name.
    pub(crate) content: ContentId,
    /// Whose it was.
    pub(crate) tenant: TenantId,
    /// When it was forgotten.
    pub(crate) at: Millis,
}

/// A row as it was loaded, and as it is now.
#[derive(Debug, Clone)]
struct Slot<T> {
    was: Option<T>,
    is: Option<T>,
}

/// Rows of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Table<K, T>(BTreeMap<K, Slot<T>>);

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// What happened to a row.
pub(crate) struct Changed<'a, K, T> {
    /// Its name.
    pub(crate) key: &'a K,
    /// Before; `None`: it did not exist.
    pub(crate) was: Option<&'a T>,
    /// Now; `None`: it is gone.
    pub(crate) is: Option<&'a T>,
}

impl<K: Ord + Clone, T: PartialEq + Clone> Table<K, T> {
    /// Takes a row as the store has it.
    pub(crate) fn load(&mut self, key: K, row: T) {
        self.0.insert(key, Slot { was: Some(row.clone()), is: Some(row) });
    }

    /// The row as it is now.
    pub(crate) fn get(&self, key: &K) -> Option<&T> {
        self.0.get(key)?.is.as_ref()
    }

    /// The row as it is now, to be changed.
    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut T> {
        self.0.get_mut(key)?.is.as_mut()
    }

    /// Makes or replaces a row.
    pub(crate) fn put(&mut self, key: K, row: T) {
        match self.0.get_mut(&key) {
            Some(slot) => slot.is = Some(row),
            None => {
                self.0.insert(key, Slot { was: None, is: Some(row) });
            }
        }
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(slot) = self.0.get_mut(key) {
            slot.is = None;
        }
    }

    /// The rows from this one on as they are now, in order.
    fn from(&self, key: &K) -> impl Iterator<Item = (&K, &T)> {
        self.0.range(key..).filter_map(|(key, slot)| Some((key, slot.is.as_ref()?)))
    }

    /// Takes over what happened to the rows of another table.
    fn follow(&mut self, other: &Self) {
        for change in other.changes() {
            match change.is {
                Some(row) => self.put(change.key.clone(), row.clone()),
                None => self.remove(change.key),
            }
        }
    }

    /// Every row as it is now, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &T)> {
        self.0.iter().filter_map(|(key, slot)| Some((key, slot.is.as_ref()?)))
    }

    /// The rows that are not as they were, in order.
    pub(crate) fn changes(&self) -> impl Iterator<Item = Changed<'_, K, T>> {
        self.0.iter().filter(|(_, slot)| slot.was != slot.is).map(|(key, slot)| Changed {
            key,
            was: slot.was.as_ref(),
            is: slot.is.as_ref(),
        })
    }
}

/// A mission that was submitted and waits for its plan.
#[derive(Debug, Clone)]
pub(super) struct Submitted {
    pub(super) subject: String,
    pub(super) wish: ContentRef,
    pub(super) workspace: ContentRef,
    pub(super) same: Digest,
    pub(super) budget: Budget,
    pub(super) priority: Priority,
}

/// Rows, for one transition or for a whole ledger.
#[derive(Debug, Clone, Default)]
pub struct RowSet {
    pub(crate) missions: Table<MissionId, MissionRow>,
    pub(crate) steps: Table<StepKey, StepRow>,
    pub(crate) effects: Table<Digest, EffectRow>,
    pub(crate) approvals: Table<ApprovalId, ApprovalRow>,
    pub(crate) made: Table<(TenantId, Digest), MadeRow>,
    pub(crate) records: Table<RecordKey, Record>,
    pub(crate) forgotten: Table<ContentId, ForgottenRow>,
    pub(super) submitted: BTreeMap<MissionId, Submitted>,
    /// The term of the leader; 0: nobody ever led.
    pub(crate) term: u64,
}

impl RowSet {
    /// A copy of the rows that a transition of this tenant works on.
    pub(crate) fn lend<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k RowKey>,
        tenant: &TenantId,
    ) -> Self {
        let mut lent = Self { term: self.term, ..Self::default() };
        macro_rules! lend {
            ($table:ident, $key:expr) => {{
                let key = $key;
                if let Some(row) = self.$table.get(&key) {
                    lent.$table.load(key, row.clone());
                }
            }};
        }
        for key in keys {
            match key {
                RowKey::Mission(id) => lend!(missions, id.clone()),
                RowKey::Step(key) => lend!(steps, key.clone()),
                RowKey::StepsOf(mission) => {
                    let first = StepKey::report(mission);
                    let own =
                        self.steps.from(&first).take_while(|(key, _)| key.mission == *mission);
                    for (key, row) in own.filter(|(key, _)| key.item == 0) {
                        lent.steps.load(key.clone(), row.clone());
                    }
                }
                RowKey::Effect(key) => lend!(effects, *key),
                RowKey::Approval(id) => lend!(approvals, id.clone()),
                RowKey::Made(made) => lend!(made, (tenant.clone(), *made)),
                RowKey::Record(key) => lend!(records, key.clone()),
                RowKey::Forgotten(id) => lend!(forgotten, id.clone()),
            }
        }
        lent
    }

    /// Takes over what a transition did to the rows that it was lent.
    pub(crate) fn follow(&mut self, lent: &Self) {
        self.missions.follow(&lent.missions);
        self.steps.follow(&lent.steps);
        self.effects.follow(&lent.effects);
        self.approvals.follow(&lent.approvals);
        self.made.follow(&lent.made);
        self.records.follow(&lent.records);
        self.forgotten.follow(&lent.forgotten);
    }

    /// A mission that was submitted and has no plan yet. A transition must not
    /// end like this.
    pub(crate) fn unplanned(&self) -> Option<&MissionId> {
        self.submitted.keys().next()
    }
}

/// The row, or why it cannot be had: what belongs to another tenant is not found.
pub(super) fn owned<T: Owned>(
    row: Option<T>,
    tenant: &TenantId,
    name: impl fmt::Display,
) -> Result<T, LedgerError> {
    row.filter(|row| row.tenant() == tenant)
        .ok_or_else(|| LedgerError::NotFound(format!("{} {name}", T::KIND)))
}

/// Rows belong to a tenant.
pub(super) trait Owned {
    /// What it is called in errors.
    const KIND: &'static str;
    /// Whose it is.
    fn tenant(&self) -> &TenantId;
}

macro_rules! owned {
    ($($row:ty: $kind:literal),*) => {$(
        impl Owned for &$row {
            const KIND: &'static str = $kind;
            fn tenant(&self) -> &TenantId {
                &self.tenant
            }
        }
        impl Owned for &mut $row {
            const KIND: &'static str = $kind;
            fn tenant(&self) -> &TenantId {
                &self.tenant
            }
        }
    )*};
}

owned!(MissionRow: "mission", StepRow: "step", EffectRow: "effect", ApprovalRow: "approval");

//! What to do after a failed try.

use charter::event::DeathCause;
use charter::ids::Millis;
use charter::tool::ErrorCode;

/// First wait after a failure, in milliseconds; doubled with every further one.
pub const BACKOFF_FIRST_MS: u64 = 250;
/// Longest wait, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 60_000;
/// Child plans that one mission may make to repair itself.
pub const HEALS_MAX: u32 = 2;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again, not before this time.
    Retry {
        /// When.
        at: Millis,
    },
    /// Ask for a repaired plan; without one, the step dies of this cause.
    Heal {
        /// The cause, should no repair be found.
        otherwise: DeathCause,
    },
    /// The dead-letter desk.
    Die(DeathCause),
}

/// Decides after a failed try. `failures` counts the tries that failed before
/// this one, `attempts` the tries that the step's limits allow, `jitter` is a
/// random number.
pub fn after(
    code: ErrorCode,
    failures: u32,
    attempts: u32,
    replans: u32,
    now: Millis,
    jitter: u32,
) -> Next {
    if code.is_transient() {
        return if failures.saturating_add(1) < attempts {
            Next::Retry { at: now.saturating_add_unsigned(backoff_ms(failures, jitter)) }
        } else {
            Next::Die(DeathCause::Exhausted)
        };
    }
    if matches!(code, ErrorCode::NotFound | ErrorCode::Taken) && replans < HEALS_MAX {
        return Next::Heal { otherwise: DeathCause::Permanent };
    }
    Next::Die(DeathCause::Permanent)
}

/// Exponential backoff with full jitter.
pub fn backoff_ms(failures: u32, jitter: u32) -> u64 {
    let ceiling = BACKOFF_FIRST_MS.saturating_mul(1 << failures.min(20)).min(BACKOFF_MAX_MS);
    full_jitter(ceiling, jitter)
}

/// A wait from 1 ms up to the ceiling, each as likely ("Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015): who failed together comes back apart.
pub fn full_jitter(ceiling_ms: u64, jitter: u32) -> u64 {
    1 + u64::from(jitter) % ceiling_ms.max(1)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use charter::budget::{Budget, Usage};
    use charter::content::ContentRef;
    use charter::digest::Digest;
    use charter::effect::EffectClass;
    use charter::ids::{StepKey, TenantId};
    use charter::label::Label;
    use charter::rows::{MissionRow, MissionState, StepRow, StepState};
    use proptest::prelude::*;

    fn text() -> ContentRef {
        ContentRef {
            id: "c-0000000000000000".parse().unwrap(),
            sha256: Digest::default(),
            label: Label::TRUSTED,
        }
    }

    /// A mission with one ready step, for tests.
    pub(crate) fn mission() -> MissionRow {
        MissionRow {
            id: "m-0000000000000000".parse().unwrap(),
            tenant: TenantId::local(),
            subject: "local".into(),
            state: MissionState::Running,
            created_at: 0,
            updated_at: 0,
            wish: text(),
            workspace: text(),
            same: Digest::default(),
            plan: text(),
            plan_digest: Digest::default(),
            steps: 1,
            ended: 0,
            parked: 0,
            dead: 0,
            active: 1,
            replans: 0,
            token_floor: 0,
            budget: Budget::default(),
            spent: Usage::default(),
            reserved: Usage::default(),
            crowded: false,
            cancelled: false,
            stopped: None,
            refused: false,
            report: None,
            priority: Default::default(),
        }
    }

    /// A step that may be claimed, for tests.
    pub(crate) fn step() -> StepRow {
        StepRow {
            key: StepKey::step(&mission().id, 1),
            tenant: TenantId::local(),
            state: StepState::Ready,
            digest: Digest::default(),
            class: EffectClass::Read,
            needs: vec![],
            blocked_by: 0,
            for_each: false,
            expanded: false,
            ready_at: 0,
            token: 0,
            failures: 0,
            lost: 0,
            former_alive: false,
            worker: None,
            approval: None,
            prepared: None,
            output: None,
            verdicts: None,
            verified: false,
            error: None,
            cause: None,
            items: 0,
            items_open: 0,
            items_lost: 0,
            usage: Usage::default(),
            reserved: Usage::default(),
            wrote: 0,
            lane: Default::default(),
            priority: Default::default(),
        }
    }

    #[test]
    fn what_may_pass_is_tried_again_until_the_tries_are_used_up() {
        assert!(matches!(after(ErrorCode::Transient, 0, 3, 0, 0, 0), Next::Retry { .. }));
        assert!(matches!(after(ErrorCode::Transient, 1, 3, 0, 0, 0), Next::Retry { .. }));
        assert_eq!(after(ErrorCode::Transient, 2, 3, 0, 0, 0), Next::Die(DeathCause::Exhausted));
    }

    #[test]
    fn what_will_not_pass_dies_at_once() {
        assert_eq!(after(ErrorCode::Malformed, 0, 3, 0, 0, 0), Next::Die(DeathCause::Permanent));
    }

    #[test]
    fn repairs_are_bounded() {
        let heal = Next::Heal { otherwise: DeathCause::Permanent };
        assert_eq!(after(ErrorCode::NotFound, 0, 3, HEALS_MAX - 1, 0, 0), heal);
        assert_eq!(
            after(ErrorCode::NotFound, 0, 3, HEALS_MAX, 0, 0),
            Next::Die(DeathCause::Permanent)
        );
    }

    proptest! {
        #[test]
        fn waits_are_bounded(failures: u32, jitter: u32) {
            let wait = backoff_ms(failures, jitter);
            prop_assert!((1..=BACKOFF_MAX_MS).contains(&wait));
        }
    }
}

//! Finds the smallest case that still breaks a rule, by leaving parts out one
//! after the other.

use super::book::Rule;
use super::case::Case;
use super::run::simulate;

/// Runs that are spent on one case.
const RUNS_MAX: u32 = 600;

/// The smallest case found that still breaks one of these rules. The same each
/// time.
pub fn shrink(case: &Case, rules: &[Rule]) -> Case {
    let mut runs = 0;
    shrink_by(case, &mut |smaller| {
        runs += 1;
        runs <= RUNS_MAX
            && simulate(smaller, false).violations.iter().any(|found| rules.contains(&found.rule))
    })
}

fn shrink_by(case: &Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    loop {
        let before = best.clone();
        without(&mut best, |case| &mut case.missions, 1, fails);
        without(&mut best, |case| &mut case.faults, 0, fails);
        if best.bell_lies {
            try_it(&mut best, |case| case.bell_lies = false, fails);
        }
        while best.workers > 1 && try_it(&mut best, |case| case.workers -= 1, fails) {}
        if best == before {
            return best;
        }
    }
}

fn try_it(
    best: &mut Case,
    change: impl FnOnce(&mut Case),
    fails: &mut dyn FnMut(&Case) -> bool,
) -> bool {
    let mut smaller = best.clone();
    change(&mut smaller);
    let still = fails(&smaller);
    if still {
        *best = smaller;
    }
    still
}

/// Leaves out parts of a list: halves first, then ever fewer at a time (delta
/// debugging: Zeller and Hildebrandt, 2002).
fn without<T: Clone>(
    best: &mut Case,
    list: impl Fn(&mut Case) -> &mut Vec<T>,
    least: usize,
    fails: &mut dyn FnMut(&Case) -> bool,
) {
    let mut size = list(best).len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < list(best).len() {
            let length = list(best).len();
            let end = (at + size).min(length);
            let enough = length - (end - at) >= least;
            let drop = |case: &mut Case| drop(list(case).drain(at..end));
            if !(enough && try_it(best, drop, fails)) {
                at = end;
            }
        }
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_matters_is_left() {
        let case = Case::of(7);
        let (mission, fault) = (case.missions[3].number, case.faults[9]);
        let mut fails = |case: &Case| {
            case.missions.iter().any(|one| one.number == mission)
                && case.faults.contains(&fault)
                && case.workers >= 2
        };
        let small = shrink_by(&case, &mut fails);
        assert_eq!((small.missions.len(), small.workers, small.bell_lies), (1, 2, false));
        assert_eq!(small.faults, [fault]);
    }
}

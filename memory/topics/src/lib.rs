//! Topics: what lies near what, found without being told how many there are.
//!
//! HDBSCAN, because what is remembered has no known number of topics, comes in
//! clumps of different density, and much of it belongs to none. Many short texts come
//! in no clumps at all: there k-means of linfa is the better tool. Everything here is a
//! function of its input: the same points give the same topics.
//!
//! | to know | look at |
//! |---|---|
//! | from points to topics | [`cluster`] |
//! | nearest of so many middles | `middles` |
//! | other ways, to measure against | [`others`] |
//! | the words that tell a topic from the others | [`keywords`] |
//! | how much of known labels vectors hold | [`probe`] |

pub mod keywords;
mod middles;
pub mod others;
pub mod probe;

use hdbscan::{DistanceMetric, Hdbscan, HdbscanHyperParams, NnAlgorithm};

/// Points that are clustered; the time grows with their square. Of more, an even
/// sample is clustered and the others join the nearest topic.
pub const POINTS_MAX: usize = 12_000;
/// Points from which on k-means is asked, where many belong to no clump.
pub const MIDDLES_MIN: usize = 500;
/// Width from which on a place is never dense with so few points.
const WIDE: usize = 32;
/// Points that tell whether points come in clumps at all.
const PROBED: usize = 2_000;
/// Points that are looked at all in all.
pub const ALL_MAX: usize = 200_000;
/// From this mean cosine on, points of which none stands out are one topic.
const ONE_TOPIC: f32 = 0.45;

/// How fine topics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Fewest members of a topic, from 2.
    pub least: usize,
    /// Neighbours that decide how dense a place is; more of them leave more out.
    pub neighbours: usize,
}

impl Settings {
    /// For so many texts: a handful makes a topic of a day, more are needed in a
    /// year's.
    pub fn of(points: usize) -> Self {
        Self { least: (points / 60).clamp(3, 25), neighbours: 2 }
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Positions of its points, ascending.
    pub members: Vec<usize>,
    /// The point nearest to the middle.
    pub medoid: usize,
    /// Mean distance of the members from the medoid.
    pub spread: f32,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Topics {
    /// The topics, largest first.
    pub topics: Vec<Topic>,
    /// Positions of the points that belong to none, ascending.
    pub noise: Vec<usize>,
    /// Whether only a sample was clustered, the others having joined it.
    pub sampled: bool,
}

/// Why nothing could be clustered.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// More points than are looked at.
    #[error("there are {0} points, more than the {ALL_MAX} that are looked at; cluster a part")]
    TooMany(usize),
    /// The clustering itself failed.
    #[error("could not cluster {points} points")]
    Failed {
        /// How many.
        points: usize,
        /// Why.
        #[source]
        source: hdbscan::HdbscanError,
    },
}

/// Finds topics. A point that is no point (not a number, another length, all zero)
/// is noise.
pub fn cluster(points: &[Vec<f32>], settings: Settings) -> Result<Topics, TopicsError> {
    if points.len() > ALL_MAX {
        return Err(TopicsError::TooMany(points.len()));
    }
    let width = points.iter().map(Vec::len).find(|width| *width > 0).unwrap_or(0);
    let is_point = |point: &Vec<f32>| {
        point.len() == width
            && point.iter().all(|x| x.is_finite())
            && point.iter().any(|x| *x != 0.0)
    };
    let good: Vec<usize> = (0..points.len()).filter(|i| is_point(&points[*i])).collect();
    let thin = is_thin(points, &good, settings)?;
    let sampled = good.len() > POINTS_MAX && !thin;
    let sample = if sampled { even(&good, POINTS_MAX) } else { good.clone() };
    let mut groups = match thin {
        true => middles::groups(points, &good, settings.least.max(2)),
        false => labels(points, &sample, settings)?,
    };
    if groups.is_empty() && is_one(points, &sample, settings.least) {
        groups = vec![sample.clone()];
    }
    let mut topics: Vec<Topic> = groups.iter().map(|members| topic(points, members)).collect();
    if sampled {
        join(points, &good, &sample, &mut topics);
    }
    topics.sort_by(|a, b| b.members.len().cmp(&a.members.len()).then(a.members.cmp(&b.members)));
    let mut free = vec![true; points.len()];
    topics.iter().flat_map(|topic| &topic.members).for_each(|member| free[*member] = false);
    let noise = (0..points.len()).filter(|i| free[*i]).collect();
    Ok(Topics { topics, noise, sampled })
}

/// So many of the positions, evenly.
fn even(good: &[usize], most: usize) -> Vec<usize> {
    let most = most.min(good.len());
    (0..most).map(|i| good[i * good.len() / most]).collect()
}

/// Whether a quarter of many wide points belongs to no clump: told by a part of them,
/// with clumps as much smaller.
fn is_thin(points: &[Vec<f32>], good: &[usize], settings: Settings) -> Result<bool, TopicsError> {
    let width = good.first().and_then(|first| points.get(*first)).map_or(0, Vec::len);
    if good.len() < MIDDLES_MIN || width < WIDE {
        return Ok(false);
    }
    let part = even(good, PROBED);
    let smaller = |n: usize, floor: usize| (n * part.len() / good.len()).clamp(floor.min(n), n);
    let settings =
        Settings { least: smaller(settings.least, 5), neighbours: smaller(settings.neighbours, 2) };
    let placed: usize = labels(points, &part, settings)?.iter().map(Vec::len).sum();
    Ok(placed * 4 < part.len() * 3)
}

/// Groups of positions by HDBSCAN.
fn labels(
    points: &[Vec<f32>],
    sample: &[usize],
    settings: Settings,
) -> Result<Vec<Vec<usize>>, TopicsError> {
    let least = settings.least.max(2);
    if sample.len() < least {
        return Ok(Vec::new());
    }
    let data: Vec<Vec<f32>> = sample.iter().map(|i| points[*i].clone()).collect();
    let parameters = HdbscanHyperParams::builder()
        .min_cluster_size(least)
        .min_samples(settings.neighbours.clamp(1, sample.len()))
        .dist_metric(DistanceMetric::Euclidean)
        .nn_algorithm(NnAlgorithm::Auto)
        .build();
    let labels = Hdbscan::new(&data, parameters)
        .cluster_par()
        .map_err(|source| TopicsError::Failed { points: sample.len(), source })?;
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (label, point) in labels.iter().zip(sample) {
        let Ok(label) = usize::try_from(*label) else { continue };
        if groups.len() <= label {
            groups.resize(label + 1, Vec::new());
        }
        groups[label].push(*point);
    }
    groups.retain(|group| !group.is_empty());
    Ok(groups)
}

/// Whether all points together are about one thing.
fn is_one(points: &[Vec<f32>], sample: &[usize], least: usize) -> bool {
    if sample.len() < least {
        return false;
    }
    let width = points[sample[0]].len();
    let mut sum = vec![0.0f32; width];
    for i in sample {
        let length = norm(&points[*i]);
        sum.iter_mut().zip(&points[*i]).for_each(|(sum, x)| *sum += x / length);
    }
    // |Σ|² holds every pair twice and every point once.
    let n = sample.len() as f32;
    let pairs = n * (n - 1.0);
    pairs > 0.0 && (sum.iter().map(|x| x * x).sum::<f32>() - n) / pairs >= ONE_TOPIC
}

fn topic(points: &[Vec<f32>], members: &[usize]) -> Topic {
    let width = points[members[0]].len();
    let mut middle = vec![0.0f32; width];
    for member in members {
        middle.iter_mut().zip(&points[*member]).for_each(|(sum, x)| *sum += x);
    }
    middle.iter_mut().for_each(|x| *x /= members.len() as f32);
    let near = |a: &&usize, b: &&usize| {
        distance(&points[**a], &middle).total_cmp(&distance(&points[**b], &middle)).then(a.cmp(b))
    };
    let medoid = members.iter().min_by(near).copied().unwrap_or(members[0]);
    let total: f32 = members.iter().map(|m| distance(&points[*m], &points[medoid])).sum();
    Topic { members: members.to_vec(), medoid, spread: total / members.len() as f32 }
}

/// Points outside the sample join the topic whose medoid is nearest, if it is as
/// near as its members are.
fn join(points: &[Vec<f32>], good: &[usize], sample: &[usize], topics: &mut [Topic]) {
    for point in good.iter().filter(|point| sample.binary_search(point).is_err()) {
        let far = |topic: &Topic| distance(&points[*point], &points[topic.medoid]);
        let nearest = topics.iter_mut().min_by(|a, b| far(a).total_cmp(&far(b)));
        if let Some(topic) = nearest
            && far(topic) <= topic.spread
        {
            topic.members.push(*point);
        }
    }
    topics.iter_mut().for_each(|topic| topic.members.sort_unstable());
}

fn norm(point: &[f32]) -> f32 {
    point.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::MIN_POSITIVE)
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Clumps around whole numbers on a line, close together within.
    fn clumps(sizes: &[usize]) -> Vec<Vec<f32>> {
        let mut points = Vec::new();
        for (clump, size) in sizes.iter().enumerate() {
            for i in 0..*size {
                let turn = i as f32 * 2.4;
                points.push(vec![
                    100.0 * (clump + 1) as f32 + 0.1 * turn.cos() * (i as f32).sqrt(),
                    0.1 * turn.sin() * (i as f32).sqrt(),
                ]);
            }
        }
        points
    }

    fn sizes(points: &[Vec<f32>], least: usize) -> Vec<usize> {
        let found = cluster(points, Settings { least, neighbours: 2 }).unwrap();
        found.topics.iter().map(|topic| topic.members.len()).collect()
    }

    #[test]
    fn clumps_are_found_and_the_stranger_is_noise() {
        let mut points = clumps(&[8, 12]);
        points.push(vec![500.0, 500.0]);
        points.push(vec![f32::NAN, 0.0]);
        points.push(vec![1.0]);
        let found = cluster(&points, Settings { least: 4, neighbours: 2 }).unwrap();
        assert_eq!(found.topics.iter().map(|t| t.members.len()).collect::<Vec<_>>(), [12, 8]);
        assert_eq!(found.noise, [20, 21, 22]);
        assert!(found.topics.iter().all(|topic| topic.members.contains(&topic.medoid)));
    }

    #[test]
    fn few_points_about_one_thing_are_one_topic() {
        let one = vec![vec![1.0, 0.1], vec![1.0, 0.2], vec![0.9, 0.1], vec![1.0, 0.0]];
        assert_eq!(sizes(&one, 3), [4]);
        let apart = vec![vec![1.0, 0.0, 0.0], vec![0.0, 1.0, 0.0], vec![0.0, 0.0, 1.0]];
        assert!(sizes(&apart, 3).is_empty());
        assert!(sizes(&[], 3).is_empty() && sizes(&one[..1], 3).is_empty());
    }

    #[test]
    fn beyond_the_bound_a_sample_decides_and_the_others_join() {
        let points = clumps(&[POINTS_MAX, POINTS_MAX]);
        let found = cluster(&points, Settings { least: 50, neighbours: 5 }).unwrap();
        assert!(found.sampled && found.topics.len() >= 2, "{}", found.topics.len());
        let wrong = found.topics.iter().any(|topic| {
            let first = topic.members.iter().filter(|member| **member < POINTS_MAX).count();
            first != 0 && first != topic.members.len()
        });
        assert!(!wrong, "a topic holds points of both clumps");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn every_point_stands_in_one_place(
            points in prop::collection::vec(prop::collection::vec(-1.0f32..1.0, 3), 0..60),
            least in 2usize..6,
        ) {
            let settings = Settings { least, neighbours: 2 };
            let found = cluster(&points, settings).unwrap();
            let mut all: Vec<usize> = found.topics.iter().flat_map(|t| t.members.clone()).collect();
            all.extend(&found.noise);
            all.sort_unstable();
            prop_assert_eq!(all, (0..points.len()).collect::<Vec<_>>());
            prop_assert!(found.topics.iter().all(|topic| topic.members.len() >= least));
            prop_assert_eq!(found, cluster(&points, settings).unwrap());
        }
    }
}

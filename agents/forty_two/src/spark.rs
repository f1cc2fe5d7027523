//! A row of figures as a row of bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One bar per figure, from nothing to `top` or the highest figure.
pub fn line(figures: &[f64], top: f64) -> String {
    let high = figures.iter().copied().filter(|x| x.is_finite()).fold(top, f64::max);
    let bar = |x: &f64| {
        let share = if high > 0.0 && x.is_finite() { x / high } else { 0.0 };
        let place = (share.clamp(0.0, 1.0) * (BARS.len() - 1) as f64).round() as usize;
        BARS.get(place).copied().unwrap_or(' ')
    };
    figures.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_figures() {
        assert_eq!(line(&[0.0, 1.0, 2.0, 7.0], 0.0), "▁▂▃█");
        assert_eq!(line(&[5.0, 5.0], 0.0), "██");
        assert_eq!(line(&[0.0, 0.5, 0.5], 1.0), "▁▅▅");
        assert_eq!(line(&[0.0, f64::NAN], 0.0), "▁▁");
        assert_eq!(line(&[], 0.0), "");
    }
}

//! The leader's housekeeping on the dead-letter desk: what nobody looked after for
//! long enough is discarded, on the record.

use alma::Alma;
use charter::ids::{Millis, TenantId};
use sons_of_helaman::reconcile::discard_old;
use std::time::Duration;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(3_600);
const DAY_MS: Millis = 24 * 3_600_000;

/// Looks at the beginning and every hour, until it is dropped.
pub(crate) async fn keep(alma: &Alma) {
    let days = Millis::from(alma.config.dead_letters.keep_days);
    if days == 0 {
        // Nothing is ever too old.
        return std::future::pending().await;
    }
    loop {
        let since = alma.ports.clock.now().saturating_sub(days.saturating_mul(DAY_MS));
        match discard_old(&alma.ports, &TenantId::local(), since).await {
            Ok(0) => {}
            Ok(discarded) => tracing::info!(discarded, "old dead steps were discarded"),
            Err(error) => tracing::warn!(%error, "could not look for old dead steps"),
        }
        tokio::time::sleep(LOOK).await;
    }
}

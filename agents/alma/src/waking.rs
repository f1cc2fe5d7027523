//! The language model as operations reach it: it falls silent within a moment when
//! all work is stopped, and does not begin before it goes on.

use crate::Alma;
use charter::generate::{Ask, Ended, Generate, GenerateError, Generated};
use charter::ids::{Principal, TenantId};
use charter::mode::Mode;
use charter::ports::{Ledger, LedgerExt};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often an answer in the making looks whether work goes on.
const LOOK: Duration = Duration::from_millis(300);

impl Alma {
    /// The language model, if one is configured. To be asked beside the runtime.
    pub(crate) fn model(&self, principal: &Principal) -> Option<Arc<dyn Generate>> {
        let model = self.installation.generate()?;
        let ledger = Arc::clone(&self.ports.ledger);
        let (tenant, runtime) = (principal.tenant.clone(), Handle::try_current().ok()?);
        Some(Arc::new(Waking { model, ledger, tenant, runtime }))
    }
}

struct Waking {
    model: Arc<dyn Generate>,
    ledger: Arc<dyn Ledger>,
    tenant: TenantId,
    runtime: Handle,
}

impl Waking {
    /// Whether all work is stopped. A ledger that cannot be asked stops nothing.
    fn stopped(&self) -> bool {
        self.runtime.block_on(self.ledger.mode(&self.tenant)) == Ok(Mode::Stopped)
    }
}

fn silent() -> GenerateError {
    let why = Mode::Stopped.notice().unwrap_or_default();
    GenerateError::Engine { operation: "answer", source: why.into() }
}

impl Generate for Waking {
    fn name(&self) -> &str {
        self.model.name()
    }

    fn context(&self) -> u32 {
        self.model.context()
    }

    fn generate(
        &self,
        ask: &Ask,
        token: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated, GenerateError> {
        if self.stopped() {
            return Err(silent());
        }
        let (mut looked, mut stopped) = (Instant::now(), false);
        // What is shared between asks is shared within the tenant alone.
        let ask = Ask { tenant: self.tenant.to_string(), ..ask.clone() };
        let made = self.model.generate(&ask, &mut |text| {
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                stopped = self.stopped();
            }
            if stopped { ControlFlow::Break(()) } else { token(text) }
        })?;
        if stopped && made.ended == Ended::Cancelled { Err(silent()) } else { Ok(made) }
    }
    fn forget(&self, tenant: &str) {
        self.model.forget(tenant);
    }
}

//! Hearing that steps were rung: a connection of its own on which the server says
//! so. Only a bell: whoever is woken looks at the queue, and whoever is not looks
//! at the next tick.

use super::address::RedisAddress;
use super::connect;
use super::fault::{Fault, explain};
use crate::backoff::backoff;
use charter::ports::Entropy;
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How often a silent connection is asked whether it is still there, and how long
/// the answer may take.
const PULSE: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(2);

/// Listens in the background until every receiver is gone.
pub(super) fn listen(
    address: RedisAddress,
    channel: String,
    entropy: Arc<dyn Entropy>,
) -> watch::Receiver<u64> {
    let (wake, woken) = watch::channel(0);
    tokio::spawn(async move {
        tokio::select! {
            () = keep_listening(&address, &channel, &wake, &*entropy) => {}
            () = wake.closed() => {}
        }
    });
    woken
}

async fn keep_listening(
    address: &RedisAddress,
    channel: &str,
    wake: &watch::Sender<u64>,
    entropy: &dyn Entropy,
) {
    let mut failures = 0_u32;
    loop {
        let heard = *wake.borrow();
        let fault = hear(address, channel, wake).await;
        // A connection that was made ends the row of failures.
        failures = if *wake.borrow() == heard { failures.saturating_add(1) } else { 1 };
        if failures.is_power_of_two() {
            tracing::warn!(%fault, failures, "the bell of the queue is not heard; connecting again");
        }
        tokio::time::sleep(backoff(failures, entropy.next_u32())).await;
    }
}

/// Listens until the connection ends, and says why it did.
async fn hear(address: &RedisAddress, channel: &str, wake: &watch::Sender<u64>) -> Fault {
    let (pubsub, at) = match connect::listen(address, channel).await {
        Ok(listening) => listening,
        Err(fault) => return fault,
    };
    // Rings that came while nobody listened.
    wake.send_modify(|count| *count = count.wrapping_add(1));
    let (mut sink, mut messages) = pubsub.split();
    let hearing = async {
        while messages.next().await.is_some() {
            wake.send_modify(|count| *count = count.wrapping_add(1));
        }
        Fault::Closed { at: at.clone() }
    };
    let pulse = async {
        loop {
            tokio::time::sleep(PULSE).await;
            match timeout(ANSWER, sink.ping::<redis::Value>()).await {
                Err(_) => return Fault::Silent { at: at.clone(), waited: ANSWER },
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let fault = explain(&at, "PING", channel, ANSWER, error);
                    // Whoever may not ask still got an answer.
                    if !fault.is_answer() {
                        return fault;
                    }
                }
            }
        }
    };
    tokio::select! {
        fault = hearing => fault,
        fault = pulse => fault,
    }
}

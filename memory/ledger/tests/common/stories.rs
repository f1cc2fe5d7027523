//! Stories that hold on every ledger.

/// Runs a story on both ledgers.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let home = tempfile::tempdir().unwrap();
                let path = home.path().join("ledger.db");
                let ledger = super::common::open(&path).await.unwrap();
                super::$name(&ledger).await;
                ledger.close().await.unwrap();
                let public = super::common::key().verifying_key();
                let report = ledger::audit::verify(&path, &public).await.unwrap();
                assert_eq!(report.findings, []);
            })*
        }
        mod on_the_twin {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&ledger::MemoryLedger::new()).await;
            })*
        }
    };
}

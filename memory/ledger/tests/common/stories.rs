//! Stories that hold on every ledger.

/// Runs a story on every ledger.
macro_rules! stories {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                let home = tempfile::tempdir().unwrap();
                let path = home.path().join("ledger.db");
                let ledger = crate::common::open(&path).await.unwrap();
                super::$name(&ledger).await;
                ledger.close().await.unwrap();
                let public = crate::common::key().verifying_key();
                let report = ledger::audit::verify(&path, &public).await.unwrap();
                assert_eq!(report.findings, []);
            })*
        }
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = crate::common::postgres::Cluster::shared().database();
                let ledger = crate::common::open_postgres(&database.url()).await.unwrap();
                super::$name(&ledger).await;
                ledger.close().await.unwrap();
                let (address, public) =
                    (crate::common::address(&database.url()), crate::common::key());
                let report =
                    ledger::audit::verify_postgres(&address, &public.verifying_key()).await.unwrap();
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

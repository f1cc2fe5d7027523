//! Stories that hold on every ledger.

/// Runs a story on every ledger.
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
        mod on_postgres {
            $(#[tokio::test]
            async fn $name() {
                let database = super::common::postgres::Cluster::shared().database();
                let ledger = super::common::open_postgres(&database.url()).await.unwrap();
                super::$name(&ledger).await;
                ledger.close().await.unwrap();
                let (address, public) =
                    (super::common::address(&database.url()), super::common::key());
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

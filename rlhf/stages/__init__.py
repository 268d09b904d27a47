"""One file per training method: each turns a `StageContext` into a `StageResult`."""

"""The subcommands of ALTER TABLE whose effect is always the same. Source: AlterTableGetLockLevel of Postgres 18."""

from postgast import pg_query_pb2 as pg

# Storage options of a table or an index that concern only its maintenance.
UPKEEP = {
    "fillfactor",
    "toast_tuple_target",
    "parallel_workers",
    "deduplicate_items",
    "vacuum_index_cleanup",
    "vacuum_truncate",
    "vacuum_max_eager_freeze_failure_rate",
}
EXCLUSIVE = {
    pg.AT_AddColumnToView: "changes the columns of a view",
    pg.AT_ColumnDefault: "a default applies to new rows only",
    pg.AT_CookedColumnDefault: "a default applies to new rows only",
    pg.AT_DropNotNull: "DROP NOT NULL changes the catalogs only",
    pg.AT_DropExpression: "the computed values stay",
    pg.AT_AddIdentity: "an identity applies to new rows only",
    pg.AT_SetIdentity: "an identity applies to new rows only",
    pg.AT_DropIdentity: "an identity applies to new rows only",
    pg.AT_SetStorage: "SET STORAGE applies to new rows only",
    pg.AT_SetCompression: "SET COMPRESSION applies to new rows only",
    pg.AT_ChangeOwner: "a new owner changes the catalogs only",
    pg.AT_ReplicaIdentity: "REPLICA IDENTITY changes the catalogs only",
    pg.AT_EnableRowSecurity: "row security changes the catalogs only",
    pg.AT_DisableRowSecurity: "row security changes the catalogs only",
    pg.AT_ForceRowSecurity: "row security changes the catalogs only",
    pg.AT_NoForceRowSecurity: "row security changes the catalogs only",
    pg.AT_EnableRule: "rules change the catalogs only",
    pg.AT_EnableAlwaysRule: "rules change the catalogs only",
    pg.AT_EnableReplicaRule: "rules change the catalogs only",
    pg.AT_DisableRule: "rules change the catalogs only",
    pg.AT_AddOf: "OF changes the catalogs only",
    pg.AT_DropOf: "NOT OF changes the catalogs only",
    pg.AT_DropOids: "SET WITHOUT OIDS changes nothing",
    pg.AT_GenericOptions: "options change the catalogs only",
    pg.AT_AlterColumnGenericOptions: "options change the catalogs only",
    pg.AT_ReplaceRelOptions: "options change the catalogs only",
}
TRIGGERS = {
    pg.AT_EnableTrig,
    pg.AT_EnableAlwaysTrig,
    pg.AT_EnableReplicaTrig,
    pg.AT_EnableTrigAll,
    pg.AT_EnableTrigUser,
    pg.AT_DisableTrig,
    pg.AT_DisableTrigAll,
    pg.AT_DisableTrigUser,
}
STATISTICS = {pg.AT_SetStatistics, pg.AT_SetOptions, pg.AT_ResetOptions, pg.AT_ClusterOn, pg.AT_DropCluster}
REWRITES = {
    pg.AT_SetLogged: "SET LOGGED rewrites the table, and writes all of it to the WAL",
    pg.AT_SetUnLogged: "SET UNLOGGED rewrites the table",
    pg.AT_SetAccessMethod: "another access method rewrites every row",
    pg.AT_SetTableSpace: "SET TABLESPACE copies the table",
    pg.AT_SetExpression: "a new expression is computed for every row",
}
# Of ONLY one table: the tables of the next generation are told that what they have is their own now.
EVEN_WITH_ONLY = {pg.AT_DropColumn, pg.AT_DropNotNull, pg.AT_DropConstraint}
# Subcommands that partitions, and tables that inherit, don't get; but triggers are those of partitions, too.
NOT_HANDED_DOWN = {
    *TRIGGERS,
    *REWRITES.keys() - {pg.AT_SetExpression},
    pg.AT_ChangeOwner,
    pg.AT_ReplicaIdentity,
    pg.AT_EnableRowSecurity,
    pg.AT_DisableRowSecurity,
    pg.AT_ForceRowSecurity,
    pg.AT_NoForceRowSecurity,
    pg.AT_SetRelOptions,
    pg.AT_ResetRelOptions,
    pg.AT_AddInherit,
    pg.AT_DropInherit,
    pg.AT_AttachPartition,
    pg.AT_DetachPartition,
    pg.AT_DetachPartitionFinalize,
    pg.AT_ClusterOn,
    pg.AT_DropCluster,
}

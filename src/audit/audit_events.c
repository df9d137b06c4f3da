/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kinds of events. Names and codes are Teleport's where it has the event, so that what reads its log
 * reads ours; codes that begin with CT are our own.
 */
#include "audit/audit.h"

const struct audit_kind audit_instance_join = { "instance.join", "TJ002I" };
const struct audit_kind audit_instance_join_failed = { "instance.join", "TJ002E" };
const struct audit_kind audit_token_create = { "join_token.create", "TJT00I" };
const struct audit_kind audit_token_delete = { "join_token.delete", "CTJ01I" };
const struct audit_kind audit_cert_create = { "cert.create", "TC000I" };
const struct audit_kind audit_node_delete = { "node.delete", "CTN01I" };
const struct audit_kind audit_host_duplicate = { "instance.duplicate", "CTN02W" };
const struct audit_kind audit_cluster_init = { "cluster.init", "CTC01I" };

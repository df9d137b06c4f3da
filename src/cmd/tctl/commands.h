/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of tctl, for the table in tctl.c: each has its flags, its arguments and its function.
 */
#ifndef CMD_TCTL_COMMANDS_H
#define CMD_TCTL_COMMANDS_H

#include "cmd/common/flags.h"

/* status.c */
extern const struct flag status_flags[];
struct error *status_run(void *ctx, const struct flags *given) MUST_USE;

/* top.c */
extern const struct argument top_arguments[];
struct error *top_run(void *ctx, const struct flags *given) MUST_USE;

/* auth.c */
extern const struct flag auth_export_flags[], auth_crl_flags[], auth_rotate_flags[];
struct error *auth_rotate_run(void *ctx, const struct flags *given) MUST_USE;
struct error *auth_export_run(void *ctx, const struct flags *given) MUST_USE;
struct error *auth_crl_run(void *ctx, const struct flags *given) MUST_USE;

/* create.c */
extern const struct flag create_flags[];
extern const struct argument create_arguments[];
struct error *create_run(void *ctx, const struct flags *given) MUST_USE;

/* get.c */
extern const struct flag get_flags[];
extern const struct argument get_arguments[];
struct error *get_run(void *ctx, const struct flags *given) MUST_USE;
extern const struct argument rm_arguments[];
struct error *rm_run(void *ctx, const struct flags *given) MUST_USE;

/* edit.c */
extern const struct argument edit_arguments[];
struct error *edit_run(void *ctx, const struct flags *given) MUST_USE;

/* tokens.c */
extern const struct flag tokens_add_flags[], tokens_ls_flags[];
extern const struct argument tokens_rm_arguments[];
struct error *tokens_add_run(void *ctx, const struct flags *given) MUST_USE;
struct error *tokens_ls_run(void *ctx, const struct flags *given) MUST_USE;
struct error *tokens_rm_run(void *ctx, const struct flags *given) MUST_USE;

/* explain.c */
extern const struct flag tokens_explain_flags[];
extern const struct argument tokens_explain_arguments[];
struct error *tokens_explain_run(void *ctx, const struct flags *given) MUST_USE;

/* nodes.c */
extern const struct flag nodes_ls_flags[], apps_ls_flags[], inventory_ls_flags[];
extern const struct argument nodes_ls_arguments[];
struct error *nodes_ls_run(void *ctx, const struct flags *given) MUST_USE;
struct error *apps_ls_run(void *ctx, const struct flags *given) MUST_USE;
struct error *inventory_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* inventory_status.c */
extern const struct flag inventory_status_flags[];
struct error *inventory_status_run(void *ctx, const struct flags *given) MUST_USE;

/* joins.c */
extern const struct flag joins_ls_flags[];
struct error *joins_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* users.c */
extern const struct flag users_add_flags[], users_ls_flags[], users_update_flags[], users_reset_flags[];
extern const struct argument users_name_arguments[], users_names_arguments[];
struct error *users_add_run(void *ctx, const struct flags *given) MUST_USE;
struct error *users_ls_run(void *ctx, const struct flags *given) MUST_USE;
struct error *users_update_run(void *ctx, const struct flags *given) MUST_USE;
struct error *users_rm_run(void *ctx, const struct flags *given) MUST_USE;
struct error *users_reset_run(void *ctx, const struct flags *given) MUST_USE;

/* lock.c */
extern const struct flag lock_flags[];
struct error *lock_run(void *ctx, const struct flags *given) MUST_USE;

/* audit.c */
extern const struct flag audit_ls_flags[];
struct error *audit_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* recordings.c */
extern const struct flag recordings_ls_flags[];
struct error *recordings_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* backup.c */
extern const struct flag backup_flags[];
extern const struct argument backup_arguments[];
struct error *backup_run(void *ctx, const struct flags *given) MUST_USE;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of tsh, for the table in tsh.c: each has its flags, its arguments and its function.
 */
#ifndef CMD_TSH_COMMANDS_H
#define CMD_TSH_COMMANDS_H

#include "cmd/common/flags.h"

struct profile;

/* login.c */
extern const struct flag login_flags[];
extern const struct argument login_arguments[];
struct error *login_run(void *ctx, const struct flags *given) MUST_USE;

/* status.c */
extern const struct flag status_flags[], clusters_flags[], env_flags[];
struct error *status_run(void *ctx, const struct flags *given) MUST_USE;
struct error *logout_run(void *ctx, const struct flags *given) MUST_USE;
struct error *clusters_run(void *ctx, const struct flags *given) MUST_USE;
struct error *env_run(void *ctx, const struct flags *given) MUST_USE;

/* ls.c */
extern const struct flag ls_flags[];
extern const struct argument ls_arguments[];
struct error *ls_run(void *ctx, const struct flags *given) MUST_USE;

/* apps.c */
extern const struct flag apps_ls_flags[];
extern const struct argument apps_ls_arguments[];
struct error *apps_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* app_logins.c */
extern const struct flag apps_login_flags[], apps_config_flags[];
extern const struct argument apps_login_arguments[], apps_logout_arguments[], apps_config_arguments[];
struct error *apps_login_run(void *ctx, const struct flags *given) MUST_USE;
struct error *apps_logout_run(void *ctx, const struct flags *given) MUST_USE;
struct error *apps_config_run(void *ctx, const struct flags *given) MUST_USE;
/* At a logout: ends the sessions of applications in the cluster; what fails is printed, as they end with their certificates. */
void app_logins_end(const struct profile *p);

/* ssh.c */
extern const struct flag ssh_flags[];
extern const struct argument ssh_arguments[];
struct error *ssh_run(void *ctx, const struct flags *given) MUST_USE;

/* scp.c */
extern const struct flag scp_flags[], sftp_flags[];
extern const struct argument scp_arguments[], sftp_arguments[];
struct error *scp_run(void *ctx, const struct flags *given) MUST_USE;
struct error *sftp_run(void *ctx, const struct flags *given) MUST_USE;

/* proxy_ssh.c */
extern const struct argument proxy_ssh_arguments[], proxy_attach_arguments[];
struct error *proxy_ssh_run(void *ctx, const struct flags *given) MUST_USE;
extern const struct argument proxy_known_host_arguments[];
struct error *proxy_known_host_run(void *ctx, const struct flags *given) MUST_USE;
struct error *proxy_attach_run(void *ctx, const struct flags *given) MUST_USE;

/* proxy_app.c */
extern const struct flag proxy_app_flags[];
extern const struct argument proxy_app_arguments[];
struct error *proxy_app_run(void *ctx, const struct flags *given) MUST_USE;

/* config.c */
struct error *config_run(void *ctx, const struct flags *given) MUST_USE;

/* debug_connect.c */
extern const struct flag debug_connect_flags[];
struct error *debug_connect_run(void *ctx, const struct flags *given) MUST_USE;

/* recordings.c */
extern const struct flag recordings_ls_flags[];
struct error *recordings_ls_run(void *ctx, const struct flags *given) MUST_USE;

/* play.c */
extern const struct flag play_flags[];
extern const struct argument play_arguments[];
struct error *play_run(void *ctx, const struct flags *given) MUST_USE;

/* version.c */
extern const struct flag tsh_version_flags[];
struct error *tsh_version_run(void *ctx, const struct flags *given) MUST_USE;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The commands of `teleport`, one source file each; the table is in teleport.c. */
#ifndef CMD_TELEPORT_COMMANDS_H
#define CMD_TELEPORT_COMMANDS_H

#include "cmd/common/flags.h"

/* configure.c */
extern const struct flag configure_flags[];
extern const struct flag node_configure_flags[];
struct error *configure_run(void *ctx, const struct flags *given) MUST_USE;
struct error *node_configure_run(void *ctx, const struct flags *given) MUST_USE;

/* debug_connect.c */
extern const struct flag debug_connect_flags[];
struct error *debug_connect_run(void *ctx, const struct flags *given) MUST_USE;

/* install_systemd.c */
extern const struct flag install_systemd_flags[];
struct error *install_systemd_run(void *ctx, const struct flags *given) MUST_USE;

/* reload.c */
extern const struct flag reload_flags[];
struct error *reload_run(void *ctx, const struct flags *given) MUST_USE;

/* status.c */
extern const struct flag status_flags[];
struct error *status_run(void *ctx, const struct flags *given) MUST_USE;

/* store_check.c, restore.c */
extern const struct flag store_check_flags[];
struct error *store_check_run(void *ctx, const struct flags *given) MUST_USE;
extern const struct flag restore_flags[];
extern const struct argument restore_arguments[];
struct error *restore_command(void *ctx, const struct flags *given) MUST_USE;

/* aws_identity.c */
extern const struct flag aws_identity_flags[];
struct error *aws_identity_run(void *ctx, const struct flags *given) MUST_USE;

/* aws_sign.c: the service `aws-sign`, which holds AWS credentials for one join; returns the exit code. */
struct service;
int aws_sign_main(struct service *s);

/* service_command.c: the hidden command that `start` runs for each service; exits with the service's code. */
extern const struct argument service_arguments[];
struct error *service_run(void *ctx, const struct flags *given) MUST_USE;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses at which applications may be: all but those of a cloud's metadata service, which gives this host's credentials to everyone
 * who can send it a request; app_service.allowed_hosts and denied_hosts change that. They are checked for the address that is
 * connected to, whatever name it was found by.
 */
#ifndef APP_TARGETS_H
#define APP_TARGETS_H

#include "base/clock.h"
#include "base/network.h"
#include "config.pb-c.h"

struct loop;
struct dial;

/* A zeroed struct has the defaults. */
struct app_targets {
        struct network *networks;
        size_t count;
        bool are_allowed; /* networks is the list of what is allowed; otherwise of what is denied */
};

/* Reads the settings, which were checked. */
void app_targets_init(struct app_targets *t, const Cteleport__V1__AppServiceConfig *service);
void app_targets_release(struct app_targets *t);

bool app_targets_permit(const struct app_targets *t, const struct ip_address *ip);

/* dial_start() to "host:port", within TIMEOUT_APP_DIAL, at a permitted address. The targets are borrowed until done. */
struct dial *app_targets_dial(const struct app_targets *t, struct loop *l, const char *target, void (*done)(void *ctx, int fd, struct error *err), void *ctx);

#endif

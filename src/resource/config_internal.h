/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declarations shared by config.c (settings of all services) and config_services.c (settings of each service). Private
 * to these.
 */
#ifndef RESOURCE_CONFIG_INTERNAL_H
#define RESOURCE_CONFIG_INTERNAL_H

#include "resource/config.h"
#include "resource/head.h"

/* State of a running check. */
struct config_checker {
        Cteleport__V1__Config *config;
        struct arena *arena;
        struct config_warnings *warnings; /* may be NULL */
};

void config_warn(struct config_checker *c, const char *format, ...) PRINTF_LIKE(2, 3);

/* Whether word is one of a NULL-terminated list, any case; *ret gets the list's spelling. */
bool config_word(const char *word, const char *const *list, const char **ret);

struct error *config_check_auth(struct config_checker *c) MUST_USE;
struct error *config_check_proxy(struct config_checker *c) MUST_USE;
struct error *config_check_ssh(struct config_checker *c) MUST_USE;
struct error *config_check_app(struct config_checker *c) MUST_USE;
struct error *config_check_others(struct config_checker *c) MUST_USE;

#endif

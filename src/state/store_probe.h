/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes one key to the store every PACE_HEALTH_CHECK while metrics are recorded, so that /readyz knows whether the store can be
 * written also while nothing else writes, and notices when it can be written again.
 */
#ifndef STATE_STORE_PROBE_H
#define STATE_STORE_PROBE_H

#include "base/compiler.h"

struct store;

struct store_probe;
/* NULL unless metrics are recorded. */
struct store_probe *store_probe_new(struct store *s) MUST_USE;
/* To be called before store_close(). NULL is silent. */
void store_probe_free(struct store_probe *p);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads every item below a prefix of the store, page by page.
 */
#ifndef AUTH_CORE_SCAN_H
#define AUTH_CORE_SCAN_H

#include "auth/core/auth.h"
#include "store/store.h"

/*
 * Calls each for every item; what it reports is logged with the item's key, and the scan goes on (record_skip). Calls done
 * once: with NULL, with the store's error, or with CANCELLED when the Auth Service stops, for then the store must not be asked
 * any more. prefix is borrowed until then, ctx must live as long.
 */
void scan(struct auth *a, struct str prefix, struct error *(*each)(void *ctx, const struct store_item *item),
          void (*done)(void *ctx, struct error *err), void *ctx);

#endif

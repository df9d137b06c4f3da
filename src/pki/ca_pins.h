/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CA pins: "sha256:<hex>" of the SubjectPublicKeyInfo of the cluster's host CA. Where pins are configured, no
 * CA counts that none of them names.
 */
#ifndef PKI_CA_PINS_H
#define PKI_CA_PINS_H

#include "base/error.h"
#include "base/str.h"

/* Borrowed. None (count 0): nothing is pinned. */
struct ca_pins {
        const char *const *list;
        size_t count;
};

/* Whether one of the pins names the CA; false without pins, and for what is no certificate. */
bool ca_pins_name(const struct ca_pins *pins, struct str ca_der);

/* UNAUTHENTICATED, with the pin of the CA that was found and those that are configured. */
struct error *ca_pins_refuse(const struct ca_pins *pins, struct str found_der) MUST_USE;

/* ca_pins_refuse for the first certificate that no pin names; NULL when there is none, or nothing is pinned. */
struct error *ca_pins_check(const struct ca_pins *pins, const struct str *cas_der, size_t count) MUST_USE;

#endif

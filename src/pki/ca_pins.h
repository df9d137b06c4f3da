/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CA pins: "sha256:<hex>" of the SubjectPublicKeyInfo of the cluster's host CA. With configured pins, only CAs that
 * match one of them are accepted.
 */
#ifndef PKI_CA_PINS_H
#define PKI_CA_PINS_H

#include "base/error.h"
#include "base/str.h"

/* A list of pins, borrowed; count 0: no pins are configured. */
struct ca_pins {
        const char *const *list;
        size_t count;
};

/* Whether the CA matches one of the pins; false without pins and for a malformed certificate. */
bool ca_pins_name(const struct ca_pins *pins, struct str ca_der);

/* UNAUTHENTICATED, with the pin of the presented CA and the configured pins. */
struct error *ca_pins_refuse(const struct ca_pins *pins, struct str found_der) MUST_USE;

/* The error of ca_pins_refuse() for the first certificate that matches no pin; NULL when all match or no pins are configured. */
struct error *ca_pins_check(const struct ca_pins *pins, const struct str *cas_der, size_t count) MUST_USE;

#endif

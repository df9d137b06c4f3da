/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts OpenSSL's errors to struct error.
 */
#ifndef PKI_OPENSSL_H
#define PKI_OPENSSL_H

#include "base/error.h"

/*
 * Makes an error with OpenSSL's first reason as its cause, and empties OpenSSL's error queue for the next call. The
 * texts are OpenSSL's, never a peer's.
 */
#define openssl_error(code, ...) openssl_error_at(error_new(code, __VA_ARGS__))
struct error *openssl_error_at(struct error *err) MUST_USE;

#endif

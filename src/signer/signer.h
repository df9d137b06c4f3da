/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signer: the only process that has the CA private keys. No network, no store; typed requests
 * on one socketpair, its own policy, its own log of every certificate.
 */
#ifndef SIGNER_SIGNER_H
#define SIGNER_SIGNER_H

#include "base/error.h"

/*
 * Runs until the other end closes. data_dir: keys live in data_dir/ca, the log of issued certificates
 * in data_dir/ca/issued.log. fd: the socketpair to auth. ready is called once when serving.
 */
struct error *signer_main(const char *data_dir, int fd, void (*ready)(void *ctx), void *ctx) MUST_USE;

#endif

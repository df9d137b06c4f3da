/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of /metrics: Prometheus' text format 0.0.4, in the order of the table of metrics. Only metrics of processes that this
 * host runs are in it.
 */
#ifndef DIAG_EXPOSITION_H
#define DIAG_EXPOSITION_H

#include "diag/health.h"

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void exposition_put(const struct figures *f, const struct health_machine *h, struct instant now, struct buf *out);

#endif

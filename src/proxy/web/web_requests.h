/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page of a connection to an HTTP application: its requests, newest first, out of its recording. ?q= searches in method, path, query
 * and status. Works without scripts.
 */
#ifndef PROXY_WEB_WEB_REQUESTS_H
#define PROXY_WEB_WEB_REQUESTS_H

#include "proxy/web/page_request.h"

/* Ends the request. facts: HTML above the list; session_id: of a recording that the user may list, in the arena. */
void web_requests_serve(struct page_request *p, const char *session_id, struct str facts);

#endif

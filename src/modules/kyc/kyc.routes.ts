import Joi from 'joi';
import { mapPage, pageAmong } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import { addFile, deleteFile, listFiles, readFile, savedName } from './kyc.files.service.ts';
import type { AddressInput, BankInput, PanInput } from './kyc.input.rules.ts';
import { HOLDER_TYPES, KYC_DOCUMENTS, type KycDocument } from './kyc.model.ts';
import { revealDocument, type Revealed } from './kyc.reveal.service.ts';
import { ownKyc, saveAadhaar, saveAddresses, saveBankAccount, saveGstin, savePan, submitKyc } from './kyc.service.ts';
import { fileShape, fileView, kycShape, kycView } from './kyc.views.ts';

/** Identifiers come in any spelling; their rules say more than a pattern could. */
const identifier = () => field.text(64);

const address = shape<AddressInput>({
  kind: Joi.string().valid('registered', 'business', 'residence').required(),
  line1: field.text(500).required(),
  line2: field.text(500),
  city: field.text(100).required(),
  state: field.text(100).required(),
  pincode: field.text(10).required(),
});

export const kycRoutes = [
  route({
    method: 'get',
    path: '/v1/kyc',
    summary: 'The own KYC: states, masks, what is missing, and the words of the Aadhaar consent',
    permission: 'kyc:read',
    response: kycShape,
    handle: (ctx) => ownKyc(ctx),
    view: kycView,
  }),
  route({
    method: 'put',
    path: '/v1/kyc/pan',
    summary: 'Save the PAN; it is then checked in the background',
    permission: 'kyc:write',
    body: shape<PanInput>({
      number: identifier().required(),
      name: field.text(400).required(),
      holderType: Joi.string().valid(...HOLDER_TYPES).required(),
      dateOfBirth: field.text(10),
    }),
    response: kycShape,
    handle: (ctx, { body }) => savePan(ctx, body),
    view: kycView,
  }),
  route({
    method: 'put',
    path: '/v1/kyc/aadhaar',
    summary: 'Save an Aadhaar number with the consent of its holder',
    description: 'Only the last four digits and the result of the check are kept, unless the company is configured to keep the number.',
    permission: 'kyc:write',
    body: shape<{ number: string; consent: boolean }>({ number: identifier().required(), consent: Joi.boolean().required() }),
    response: kycShape,
    handle: (ctx, { body, connection }) => saveAadhaar(ctx, body, connection.address),
    view: kycView,
  }),
  route({
    method: 'put',
    path: '/v1/kyc/gstin',
    summary: 'Save the GSTIN; the PAN inside must be the PAN of this KYC',
    permission: 'kyc:write',
    body: shape<{ number: string }>({ number: identifier().required() }),
    response: kycShape,
    handle: (ctx, { body }) => saveGstin(ctx, body.number),
    view: kycView,
  }),
  route({
    method: 'put',
    path: '/v1/kyc/bank-account',
    summary: 'Save the bank account that money is paid to',
    permission: 'kyc:write',
    body: shape<BankInput>({
      accountNumber: identifier().required(),
      accountNumberConfirm: identifier(),
      ifsc: identifier().required(),
      holderName: field.text(400).required(),
    }),
    response: kycShape,
    handle: (ctx, { body }) => saveBankAccount(ctx, body),
    view: kycView,
  }),
  route({
    method: 'put',
    path: '/v1/kyc/addresses',
    summary: 'Replace the addresses, ten at most',
    permission: 'kyc:write',
    body: shape<{ addresses: AddressInput[] }>({ addresses: Joi.array().items(address).max(100).required() }),
    response: kycShape,
    handle: (ctx, { body }) => saveAddresses(ctx, body.addresses),
    view: kycView,
  }),
  route({
    method: 'post',
    path: '/v1/kyc/documents',
    summary: 'Upload a document as PDF, JPEG or PNG',
    description: 'multipart/form-data with `file` and `document` (what it shows: pan, aadhaar, gstin, bankAccount, address or other; `type` is another name of this field).',
    permission: 'kyc:write',
    idempotent: 'accepted',
    rawBody: 'stream',
    status: 201,
    response: fileShape,
    errors: ['unsupported_file', 'file_too_large', 'file_infected', 'too_many_files', 'scanner_unavailable'],
    handle: (ctx, { request }) => addFile(ctx, request),
    view: ({ file }) => fileView(file),
  }),
  route({
    method: 'get',
    path: '/v1/kyc/documents',
    summary: 'The uploaded documents, oldest first',
    permission: 'kyc:read',
    query: pageQuery,
    response: pageOf(fileShape),
    handle: async (ctx, { query }) => pageAmong(await listFiles(ctx), query),
    view: (page) => mapPage(page, fileView),
  }),
  route({
    method: 'get',
    path: '/v1/kyc/documents/:id',
    summary: 'An uploaded document in clear, to be saved; noted in the audit log',
    permission: 'kyc:reveal',
    params: idParams,
    response: 'application/octet-stream',
    handle: (ctx, { params, connection }) => readFile(ctx, params.id, connection.address),
    view: ({ file, content }) => ({ contentType: file.contentType, filename: savedName(file), content }),
  }),
  route({
    method: 'delete',
    path: '/v1/kyc/documents/:id',
    summary: 'Remove an uploaded document that is not under review',
    permission: 'kyc:write',
    params: idParams,
    response: 'none',
    errors: ['document_under_review'],
    handle: (ctx, { params }) => deleteFile(ctx, params.id),
    view: () => undefined,
  }),
  route({
    method: 'post',
    path: '/v1/kyc/submit',
    summary: 'Hand everything given to our reviewers',
    permission: 'kyc:write',
    idempotent: 'accepted',
    response: kycShape,
    errors: ['kyc_incomplete'],
    handle: (ctx) => submitKyc(ctx),
    view: kycView,
  }),
  route({
    method: 'post',
    path: '/v1/kyc/reveal',
    summary: 'Show one document in clear, with a reason of 3 to 200 characters; noted in the audit log',
    permission: 'kyc:reveal',
    limit: 'sensitive',
    body: shape<{ field: KycDocument; reason: string }>({ field: Joi.string().valid(...KYC_DOCUMENTS).required(), reason: field.text(1_000).required() }),
    response: shape<Revealed>({
      field: Joi.string().valid(...KYC_DOCUMENTS).required(),
      value: Joi.string().required(),
      name: Joi.string(),
      dateOfBirth: Joi.string(),
      ifsc: Joi.string(),
      holderName: Joi.string(),
    }),
    errors: ['not_kept'],
    handle: (ctx, { body, connection }) => revealDocument(ctx, body, connection.address),
    view: (revealed) => revealed,
  }),
];
